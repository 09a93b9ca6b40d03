// The local API: a Unix socket served by the control thread, never blocking it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/control/api_message.h"
#include "app/control/poller.h"
#include "crypto/result.h"

namespace sealwire::control {

// Who is asking, as the kernel says (SO_PEERCRED).
struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
};

// Serves root and the daemon's own user; anybody else is answered SW-API-005 and disconnected.
// Malformed input is answered by an error and costs the client its connection only when no line end
// was found within kMaxRequest.
class ApiServer {
 public:
  using Handler = std::function<Result<nlohmann::json>(ApiRequest& request, const Peer& peer)>;

  // Binds `path` (mode 0600; its directory is made when missing), replacing a socket that nobody
  // listens on. Errors: SW-API-010 another daemon answers there, SW-API-011 cannot be bound.
  static Result<std::unique_ptr<ApiServer>> listen(Poller& poller, std::string path,
                                                   Handler handler);
  ~ApiServer();  // closes all connections, removes the socket
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Nobody keeps others out by holding connections.
  struct Limits {
    std::size_t clients = 64;             // the next one is answered SW-API-012
    std::chrono::seconds unfinished{10};  // of a request whose line does not end
    std::chrono::seconds silent{60};      // without a request, or without reading its answer
  };
  // For tests: whose requests are served beside root's, and other limits.
  void allow(uid_t uid) { allowed_ = uid; }
  void limit(const Limits& limits) { limits_ = limits; }

  std::size_t clients() const { return clients_.size(); }

 private:
  struct Client {
    int fd = -1;
    Peer peer;
    bool allowed = false;
    std::string in, out;
    std::size_t scanned = 0;                          // of `in`: no newline before here
    std::chrono::steady_clock::time_point moved{};    // the last request, or progress of its answer
    std::chrono::steady_clock::time_point started{};  // of the request under way
    bool ending = false;  // answers nothing more; close as soon as `out` is sent
    bool eof = false;     // the client sends nothing more, but may still read
  };
  ApiServer(Poller& poller, std::string path, Handler handler, int fd);
  void accept_clients();
  void serve(int fd, std::uint32_t events);
  bool receive(Client& client);  // false: gone
  void answer_lines(Client& client);
  bool send(Client& client);  // false: gone
  void drop(int fd);
  void drop_idle();

  Poller& poller_;
  std::string path_;
  Handler handler_;
  int listener_;
  uid_t allowed_;
  Limits limits_;
  int timer_ = -1;
  std::map<int, Client> clients_;
};

}  // namespace sealwire::control
