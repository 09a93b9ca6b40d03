#include "app/cli/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "app/control/api_message.h"
#include "crypto/secret_bytes.h"

namespace sealwire::cli {

Result<Client> Client::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("SW-CLI-003", path + ": socket path longer than 107 characters");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int why = errno;
    if (fd >= 0) ::close(fd);
    return fail("SW-CLI-001", "no daemon answers at " + path + ": " + std::strerror(why),
                why == EACCES ? "run as root or as the daemon's user"
                              : "start it with 'sealwired -c FILE', or name its socket with --api "
                                "(system.api-socket in its config)");
  }
  const timeval patience{60, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return Client(fd, path);
}

Client::Client(Client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), next_id_(other.next_id_) {}

Client::~Client() {
  if (fd_ >= 0) ::close(fd_);
}

Result<nlohmann::json> Client::call(const std::string& method, nlohmann::json params) {
  control::ApiRequest request;
  request.id = next_id_++;
  request.method = method;
  request.params = std::move(params);
  std::string out = control::request_line(request);
  control::wipe_strings(request.params);
  std::size_t sent = 0;
  const auto broken = [this](const char* what) {
    return fail("SW-CLI-002", std::string("connection to ") + path_ + ": " + what,
                "look at the daemon's log");
  };
  bool sending_failed = false;
  while (sent < out.size() && !sending_failed) {
    const ssize_t n = ::send(fd_, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<std::size_t>(n);
    sending_failed = n < 0 && errno != EINTR;
  }
  crypto::wipe(out.data(), out.size());
  const int why = errno;
  std::string in;
  std::string buffer(64 << 10, '\0');
  while (in.empty() || in.back() != '\n') {
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    // A daemon that ends the connection may have said why.
    if (n <= 0 && sending_failed) return broken(std::strerror(why));
    if (n < 0) return broken(errno == EAGAIN ? "no answer within 60 s" : std::strerror(errno));
    if (n == 0) return broken("closed by the daemon");
    in.append(buffer, 0, static_cast<std::size_t>(n));
  }
  return control::parse_response(in);
}

int report(const Error& error) {
  if (error.id.empty() || error.id.starts_with("SW-CFG-")) {  // mistakes carry their ids
    fmt::print(stderr, "{}\n", error.message);
  } else {
    fmt::print(stderr, "sealwire: {}: {}\n", error.id, error.message);
  }
  if (!error.remedy.empty()) fmt::print(stderr, "  {}\n", error.remedy);
  if (error.id == "SW-CLI-001" || error.id == "SW-CLI-002") return kUnreachable;
  if (error.id.starts_with("SW-CFG-") || error.id == "SW-CLI-003") return kUsage;
  if (error.id.starts_with("SW-STA-") || error.id.starts_with("SW-CLI-")) return kFailed;
  return kRefused;
}

}  // namespace sealwire::cli
