// One connection to a daemon's API socket.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "crypto/result.h"

namespace sealwire::cli {

// What every command ends with (docs/reference/cli.md).
enum ExitCode : int { kOk = 0, kFailed = 1, kUsage = 2, kUnreachable = 3, kRefused = 4 };

class Client {
 public:
  // Error SW-CLI-001: nobody listens at `path`.
  static Result<Client> connect(const std::string& path);
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // Sends one request and waits for its answer. Errors: SW-CLI-002 the connection broke, or what
  // the daemon answered.
  Result<nlohmann::json> call(const std::string& method,
                              nlohmann::json params = nlohmann::json::object());

 private:
  Client(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
  int next_id_ = 1;
};

// Says on stderr what went wrong and what to do, and gives the exit code for it.
int report(const Error& error);

}  // namespace sealwire::cli
