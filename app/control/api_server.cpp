#include "app/control/api_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "crypto/secret_bytes.h"

namespace sealwire::control {
namespace {

constexpr std::size_t kMaxPending = 1
                                    << 20;  // unsent octets above which no further request is read
constexpr std::size_t kReadChunk = 64 << 10;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("SW-API-011", "api-socket " + path + ": path empty or longer than 107 characters",
                "choose a shorter path");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

bool somebody_listens(const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool yes =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN;
  ::close(fd);
  return yes;
}

}  // namespace

Result<std::unique_ptr<ApiServer>> ApiServer::listen(Poller& poller, std::string path,
                                                     Handler handler) {
  const auto address = address_of(path);
  if (!address) return tl::unexpected(address.error());
  if (const std::size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0) {
    ::mkdir(path.substr(0, slash).c_str(), 0755);  // one level; bind reports what is missing
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return fail("SW-API-011", "api-socket " + path + ": exists and is not a socket",
                  "choose another path or remove it");
    }
    if (somebody_listens(*address)) {
      return fail("SW-API-010", "api-socket " + path + ": another daemon answers there",
                  "stop it, or give this one a system.api-socket of its own");
    }
    ::unlink(path.c_str());
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const mode_t old_mask = ::umask(0177);
  const bool bound =
      fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
  const int bind_error = errno;
  ::umask(old_mask);
  if (!bound || ::listen(fd, 16) != 0) {
    const std::string why = std::strerror(bound ? errno : bind_error);
    if (fd >= 0) ::close(fd);
    return fail("SW-API-011", "api-socket " + path + ": " + why,
                "check that its directory exists and can be written");
  }
  return std::unique_ptr<ApiServer>(new ApiServer(poller, std::move(path), std::move(handler), fd));
}

ApiServer::ApiServer(Poller& poller, std::string path, Handler handler, int fd)
    : poller_(poller),
      path_(std::move(path)),
      handler_(std::move(handler)),
      listener_(fd),
      allowed_(::geteuid()) {
  poller_.add(listener_, EPOLLIN, [this](std::uint32_t) { accept_clients(); });
  timer_ = poller_.add_timer(std::chrono::seconds(1), [this] { drop_idle(); });
}

ApiServer::~ApiServer() {
  std::vector<int> fds;
  for (const auto& [fd, client] : clients_) fds.push_back(fd);
  for (const int fd : fds) drop(fd);
  poller_.remove_timer(timer_);
  poller_.remove(listener_);
  ::close(listener_);
  ::unlink(path_.c_str());
}

void ApiServer::accept_clients() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
      ::close(fd);
      continue;
    }
    if (clients_.size() >= limits_.clients) {
      const std::string text = error_line(
          nullptr,
          {"SW-API-012", std::to_string(limits_.clients) + " clients are connected already",
           "end one of them, or ask again in a minute: silent ones are disconnected"});
      (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      ::close(fd);
      continue;
    }
    Client client;
    client.fd = fd;
    client.peer = {credentials.uid, credentials.gid, credentials.pid};
    client.moved = std::chrono::steady_clock::now();
    client.allowed = credentials.uid == 0 || credentials.uid == allowed_;
    if (!poller_.add(fd, EPOLLIN, [this, fd](std::uint32_t events) { serve(fd, events); })) {
      ::close(fd);
      continue;
    }
    clients_.emplace(fd, std::move(client));
  }
}

void ApiServer::drop(int fd) {
  const auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  crypto::wipe(found->second.in.data(), found->second.in.size());
  poller_.remove(fd);
  ::close(fd);
  clients_.erase(found);
}

void ApiServer::drop_idle() {
  const auto now = std::chrono::steady_clock::now();
  std::vector<int> idle;
  for (const auto& [fd, client] : clients_) {
    const bool unfinished = !client.in.empty() && now - client.started >= limits_.unfinished;
    if (unfinished || now - client.moved >= limits_.silent) idle.push_back(fd);
  }
  for (const int fd : idle) drop(fd);
}

void ApiServer::serve(int fd, std::uint32_t events) {
  const auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  Client& client = found->second;
  if ((events & EPOLLOUT) != 0 && !send(client)) return drop(fd);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !client.ending && !client.eof &&
      client.out.size() < kMaxPending && !receive(client)) {
    return drop(fd);
  }
  answer_lines(client);
  if (!send(client)) return drop(fd);
  if ((client.ending || client.eof) && client.out.empty()) return drop(fd);
  const bool reading = !client.ending && !client.eof && client.out.size() < kMaxPending;
  poller_.modify(fd, (reading ? std::uint32_t{EPOLLIN} : 0U) |
                         (client.out.empty() ? 0U : std::uint32_t{EPOLLOUT}));
}

bool ApiServer::receive(Client& client) {
  // Grown by hand, so that no outgrown copy of a key stays behind in freed memory.
  const std::size_t had = client.in.size();
  if (had == 0) client.started = std::chrono::steady_clock::now();
  if (client.in.capacity() < had + kReadChunk) {
    std::string larger;
    larger.reserve(std::max(2 * client.in.capacity(), had + kReadChunk));
    larger.assign(client.in);
    crypto::wipe(client.in.data(), client.in.size());
    client.in.swap(larger);
  }
  client.in.resize(had + kReadChunk);
  const ssize_t n = ::recv(client.fd, client.in.data() + had, kReadChunk, 0);
  client.in.resize(had + (n > 0 ? static_cast<std::size_t>(n) : 0));
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) client.eof = true;
  return true;
}

void ApiServer::answer_lines(Client& client) {
  std::size_t begin = 0;
  while (!client.ending && client.out.size() < kMaxPending) {
    const std::size_t newline = client.in.find('\n', std::max(begin, client.scanned));
    if (newline == std::string::npos) {
      client.scanned = client.in.size();
      if (client.in.size() - begin > kMaxRequest) {
        client.out += error_line(nullptr, {"SW-API-004", "request longer than 4 MiB", ""});
        client.ending = true;
      }
      break;
    }
    const std::string_view text(client.in.data() + begin, newline - begin);
    nlohmann::json id;
    if (!client.allowed) {
      client.out += error_line(
          id, {"SW-API-005", "not allowed for this user", "run as root or as the daemon's user"});
      client.ending = true;
    } else if (auto request = parse_request(text, id); !request) {
      client.out += error_line(id, request.error());
    } else {
      auto result = handler_(*request, client.peer);
      wipe_strings(request->params);
      client.out += result ? result_line(id, *result) : error_line(id, result.error());
    }
    begin = newline + 1;
    client.scanned = begin;
    client.moved = client.started = std::chrono::steady_clock::now();
  }
  crypto::wipe(client.in.data(), begin);
  client.in.erase(0, begin);
  client.scanned -= std::min(client.scanned, begin);
}

bool ApiServer::send(Client& client) {
  std::size_t sent = 0;
  while (sent < client.out.size()) {
    const ssize_t n =
        ::send(client.fd, client.out.data() + sent, client.out.size() - sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return false;
      break;
    }
    sent += static_cast<std::size_t>(n);
    client.moved = std::chrono::steady_clock::now();
  }
  client.out.erase(0, sent);
  // Requests that arrived while the client was slow to read.
  if (client.out.empty() && !client.ending && client.in.find('\n') != std::string::npos) {
    answer_lines(client);
    if (!client.out.empty()) return send(client);
  }
  return true;
}

}  // namespace sealwire::control
