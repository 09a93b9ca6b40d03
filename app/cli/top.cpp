#include "app/cli/top.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "app/cli/client.h"
#include "app/cli/show.h"

namespace sealwire::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;
void interrupt(int) { interrupted = 1; }

}  // namespace

int top(const std::string& socket, const TopOptions& options) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::signal(SIGINT, interrupt);
  for (int shown = 0; interrupted == 0 && (options.count == 0 || shown < options.count); ++shown) {
    if (shown > 0) {
      const auto end =
          std::chrono::steady_clock::now() + std::chrono::duration<double>(options.interval);
      while (interrupted == 0 && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
      if (interrupted != 0) break;
    }
    // A connection for each picture: the daemon ends those that are silent for long.
    auto client = Client::connect(socket);
    if (!client) return report(client.error());
    std::string picture;
    for (const char* view : {"lines", "cores", "drops"}) {
      const auto result = client->call(std::string("show.") + view);
      if (!result) return report(result.error());
      picture += render(view, *result) + '\n';
    }
    if (terminal) fmt::print("\x1b[H\x1b[2J");
    fmt::print("sealwire {}  every {} s{}\n\n{}", socket, options.interval,
               terminal ? ", Ctrl-C ends" : "", picture);
    std::fflush(stdout);
  }
  return kOk;
}

}  // namespace sealwire::cli
