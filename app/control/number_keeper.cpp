#include "app/control/number_keeper.h"

#include <algorithm>
#include <utility>

namespace sealwire::control {
namespace {

constexpr std::uint64_t kEnd32 = 1ULL << 32;
constexpr auto kFast = std::chrono::seconds(2);          // a block that lasts less is doubled
constexpr auto kRetry = std::chrono::milliseconds(200);  // after a failed write

}  // namespace

// A crash costs up to one block of numbers: small where there are only 2^32.
std::uint64_t NumberKeeper::first_block(std::uint64_t end) {
  return end <= kEnd32 ? 1ULL << 18 : 1ULL << 22;
}
std::uint64_t NumberKeeper::largest_block(std::uint64_t end) {
  return end <= kEnd32 ? 1ULL << 26 : 1ULL << 32;
}

Result<NumberKeeper::Grant> NumberKeeper::reserve(const Want& want) {
  std::vector<Want> wants(1);
  wants[0].what = want.what;
  wants[0].space.key = want.space.key.clone();
  wants[0].space.fixed = want.space.fixed;
  wants[0].space.bound = want.space.bound;
  wants[0].first = want.first;
  wants[0].end = want.end;
  auto grants = reserve(wants);
  if (!grants) return tl::unexpected(grants.error());
  return grants->front();
}

Result<std::vector<NumberKeeper::Grant>> NumberKeeper::reserve(const std::vector<Want>& wants) {
  std::vector<Grant> grants;
  if (wants.empty()) return grants;
  if (store_ == nullptr) {
    return fail("SW-STA-008", "static keys need a state directory",
                "set system.state-directory and run 'sealwire state init DIR', then restart");
  }
  std::vector<StateStore::Request> requests;
  for (const Want& want : wants) {
    const auto fingerprint = store_->identify(want.space);
    const auto refuse = [&want](const Error& e) {
      return fail(e.id, want.what.empty() ? e.message : want.what + ": " + e.message, e.remedy);
    };
    if (!fingerprint) return refuse(fingerprint.error());
    Grant grant;
    grant.fingerprint = *fingerprint;
    grant.end = want.end;
    grant.first = std::max(want.first, store_->recorded(*fingerprint).value_or(0));
    // The same space twice in one request: each gets a block of its own.
    for (const Grant& earlier : grants) {
      if (earlier.fingerprint == grant.fingerprint)
        grant.first = std::max(grant.first, earlier.limit);
    }
    if (grant.first >= want.end) {
      return refuse(
          {"SW-STA-007", "all numbers of this static key are used up", "replace the key"});
    }
    const std::uint64_t block = std::min(first_block(want.end), want.end - grant.first);
    grant.limit = grant.first + block;
    grant.low = grant.first + block / 2;
    requests.push_back({grant.fingerprint, grant.limit});
    grants.push_back(grant);
  }
  if (auto recorded = store_->record(requests); !recorded) return tl::unexpected(recorded.error());
  return grants;
}

NumberKeeper::Ticket NumberKeeper::track(const Grant& grant, Watch watch) {
  Item item;
  item.watch = std::move(watch);
  item.limit = grant.limit;
  item.end = grant.end;
  item.block = first_block(grant.end);
  item.raised = Clock::now();
  item.ticket = ++last_ticket_;
  items_[grant.fingerprint] = std::move(item);
  return last_ticket_;
}

void NumberKeeper::forget(Ticket ticket) {
  std::erase_if(items_, [ticket](const auto& entry) { return entry.second.ticket == ticket; });
}

Result<void> NumberKeeper::poll(Clock::time_point now) {
  if (now < retry_) return {};
  std::vector<StateStore::Request> requests;
  std::vector<Item*> raised;
  for (auto& [fingerprint, item] : items_) {
    if (item.limit >= item.end) continue;
    const std::uint64_t next = item.watch.next();
    const std::uint64_t left = next < item.limit ? item.limit - next : 0;
    if (left > item.block / 2) continue;
    if (now - item.raised < kFast) item.block = std::min(item.block * 2, largest_block(item.end));
    const std::uint64_t limit = item.limit + std::min(item.block, item.end - item.limit);
    requests.push_back({fingerprint, limit});
    raised.push_back(&item);
  }
  if (requests.empty()) return {};
  if (auto recorded = store_->record(requests); !recorded) {
    retry_ = now + kRetry;
    return recorded;
  }
  for (std::size_t i = 0; i < raised.size(); ++i) {
    Item& item = *raised[i];
    item.limit = requests[i].next;
    item.raised = now;
    item.watch.raise(item.limit, item.limit - item.block / 2);
  }
  return {};
}

Result<void> NumberKeeper::release() {
  std::vector<StateStore::Request> requests;
  for (const auto& [fingerprint, item] : items_) {
    requests.push_back({fingerprint, item.watch.next()});
  }
  items_.clear();
  if (requests.empty()) return {};
  return store_->release(requests);
}

}  // namespace sealwire::control
