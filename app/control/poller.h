// The control thread's event loop: file descriptors and timers by epoll, so that it sleeps when
// nothing happens.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace sealwire::control {

// One thread, except wake(). Callbacks may add and remove any watch, their own included.
class Poller {
 public:
  using Callback = std::function<void(std::uint32_t events)>;  // EPOLLIN, EPOLLOUT, ...

  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // False when the system refused (then errno says why).
  bool add(int fd, std::uint32_t events, Callback callback);
  void modify(int fd, std::uint32_t events);
  void remove(int fd);

  // Calls back every `period` (first after one period). The descriptor returned is the Poller's; -1
  // on failure. End it with remove_timer().
  int add_timer(std::chrono::microseconds period, std::function<void()> callback);
  void set_timer(int timer, std::chrono::microseconds period);
  void remove_timer(int timer);

  // Waits for at most `timeout` and runs what is due.
  void run_once(std::chrono::milliseconds timeout);

 private:
  int epoll_ = -1;
  std::map<int, std::shared_ptr<Callback>> watches_;
};

}  // namespace sealwire::control
