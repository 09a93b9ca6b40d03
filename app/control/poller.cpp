#include "app/control/poller.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace sealwire::control {
namespace {

itimerspec every(std::chrono::microseconds period) {
  itimerspec spec{};
  spec.it_interval.tv_sec = static_cast<time_t>(period.count() / 1000000);
  spec.it_interval.tv_nsec = static_cast<long>(period.count() % 1000000) * 1000;
  spec.it_value = spec.it_interval;
  return spec;
}

}  // namespace

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

Poller::~Poller() {
  if (epoll_ >= 0) ::close(epoll_);
}

bool Poller::add(int fd, std::uint32_t events, Callback callback) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
  watches_[fd] = std::make_shared<Callback>(std::move(callback));
  return true;
}

void Poller::modify(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Poller::remove(int fd) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(fd);
}

int Poller::add_timer(std::chrono::microseconds period, std::function<void()> callback) {
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (timer < 0) return -1;
  const auto run = [timer, callback = std::move(callback)](std::uint32_t) {
    std::uint64_t expirations = 0;
    if (::read(timer, &expirations, sizeof expirations) == sizeof expirations) callback();
  };
  if (!add(timer, EPOLLIN, run)) {
    ::close(timer);
    return -1;
  }
  set_timer(timer, period);
  return timer;
}

void Poller::set_timer(int timer, std::chrono::microseconds period) {
  const itimerspec spec = every(period);
  ::timerfd_settime(timer, 0, &spec, nullptr);
}

void Poller::remove_timer(int timer) {
  remove(timer);
  ::close(timer);
}

void Poller::run_once(std::chrono::milliseconds timeout) {
  std::array<epoll_event, 32> events;
  const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                             static_cast<int>(timeout.count()));
  for (int i = 0; i < n; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    const auto found = watches_.find(event.data.fd);
    if (found == watches_.end()) continue;  // removed by an earlier callback of this round
    const std::shared_ptr<Callback> callback = found->second;
    (*callback)(event.events);
  }
}

}  // namespace sealwire::control
