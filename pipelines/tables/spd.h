// The security policy database (RFC 4301 §4.4.1): ordered rules per direction, the last word is
// discard. Immutable once built; swapped with the line's snapshot.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "crypto/result.h"
#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/selector_set.h"

namespace sealwire::pipelines {

enum class PolicyAction : std::uint8_t { discard, bypass, protect };

/// One rule of one direction. Selectors are written for packets as they travel in that direction.
struct PolicyRule {
  std::uint64_t cookie = 0;  // the control thread's own name for the rule
  PolicyAction action = PolicyAction::discard;
  Selector selector;
  std::vector<OutboundSlot*>
      slots;  // outbound PROTECT: one, or one per worker (RFC 9611); never empty there
};

/// A rule as the data path sees it after the look-up.
struct PolicyVerdict {
  PolicyAction action = PolicyAction::discard;
  std::uint16_t slot_count = 0;
  std::uint32_t rule = ~0U;  // index in the order given; kFinalRule: the final discard
  union {                    // PROTECT: of one slot the slot itself, else the first of slot_count
    const OutboundSlot* only = nullptr;
    OutboundSlot* const* slots;
  };

  /// PROTECT: the SA of worker `worker`.
  const OutboundSlot& slot(std::uint16_t worker) const {
    return slot_count == 1 ? *only : *slots[worker % slot_count];
  }
};
inline constexpr std::uint32_t kFinalRule = ~0U;

class Spd {
 public:
  /// Errors SW-SPD-001 (PROTECT without a slot), SW-SPD-002 (prefix too long for its family, range
  /// upside down).
  static Result<std::unique_ptr<const Spd>> build(std::vector<PolicyRule> outbound,
                                                  std::vector<PolicyRule> inbound);
  ~Spd();

  /// The first rule that matches decides. A later fragment, whose ports are unknown, never gets
  /// BYPASS where an earlier rule could have claimed its datagram by ports: it is discarded then
  /// (RFC 4301 §7, fail closed).
  PolicyVerdict outbound(const PacketKey& key) const { return outbound_.look_up(key); }
  PolicyVerdict inbound(const PacketKey& key) const { return inbound_.look_up(key); }

  /// The same as outbound(), short where the list is wide and prefetch_outbound() was called.
  [[gnu::always_inline]] PolicyVerdict outbound_of_many(const PacketKey& key) const {
    const Index& index = key.v6() ? outbound_.v6 : outbound_.v4;
    const Choice* const only = index.only_choice(key);
    return only != nullptr ? only->verdict : outbound_.look_up(PacketKey(key));
  }
  /// Starts fetching what outbound_of_many() will read of a wide list.
  [[gnu::always_inline]] void prefetch_outbound(const AddressPair& addresses, bool v6) const {
    (v6 ? outbound_.v6 : outbound_.v4).prefetch(addresses);
  }
  /// A family's rules are one probe away but too many to be at hand: worth prefetch_outbound(),
  /// after which a flow cache would not be faster.
  bool outbound_is_wide() const { return outbound_is_wide_; }

  /// Differs between any two Spd of this process: what flow caches are valid for.
  std::uint64_t generation() const { return generation_; }

  const std::vector<PolicyRule>& outbound_rules() const { return outbound_.rules; }
  const std::vector<PolicyRule>& inbound_rules() const { return inbound_.rules; }

 private:
  // The rules of one family. Those with the same prefix lengths are found by one probe, whatever
  // their number, so that neither many SAs nor strangers' flows make a look-up long.
  struct Choice {
    UpperSelector upper;
    std::uint32_t next = 0;  // of the same addresses and later in order: index in `more`; 0: none
    PolicyVerdict verdict;
  };
  struct alignas(64) Bucket {
    AddressPair addresses{};
    Choice first;  // of kFinalRule: the bucket is empty
  };
  static_assert(sizeof(Bucket) == 64);
  struct Probe {
    AddressPair masks{};
    std::uint32_t first_rule = 0;
    std::uint32_t shift = 0;
    std::vector<Bucket> buckets{};  // open addressing, a power of two, half of them empty

    std::size_t place(const AddressPair& masked) const {
      return hash_ends(fold_address(masked.source), fold_address(masked.destination)) >> shift;
    }
    /// Null: no rule has these addresses.
    [[gnu::always_inline]] const Bucket* find(const PacketKey& key) const {
      const AddressPair wanted = masks.of(key.addresses());
      for (std::size_t at = place(wanted);; at = (at + 1) & (buckets.size() - 1)) {
        const Bucket& bucket = buckets[at];
        if (bucket.first.verdict.rule == kFinalRule) return nullptr;
        if (bucket.addresses.equals(wanted, key.v6())) return &bucket;
      }
    }
  };
  class Index {
   public:
    Index() = default;
    struct Rule {
      FlatSelector selector;
      PolicyVerdict verdict;
    };
    explicit Index(const std::vector<Rule>& rules);  // in order
    PolicyVerdict look_up(const PacketKey& key) const;
    bool is_wide() const { return wide_; }
    /// Of a wide list, if the first rule for these addresses decides. Null: look_up().
    [[gnu::always_inline]] const Choice* only_choice(const PacketKey& key) const {
      if (!wide_) return nullptr;
      const Bucket* const bucket = probes_.front().find(key);
      if (bucket == nullptr) return nullptr;
      const UpperSelector& upper = bucket->first.upper;
      return upper.any_protocol && upper.any_ports ? &bucket->first : nullptr;
    }
    [[gnu::always_inline]] void prefetch(const AddressPair& addresses) const {
      if (!wide_) return;
      const Probe& probe = probes_.front();
      __builtin_prefetch(&probe.buckets[probe.place(probe.masks.of(addresses))]);
    }

   private:
    static constexpr std::size_t kWide = 256;  // buckets: a first-level cache's half
    bool wide_ = false;                        // one probe, too many buckets to be at hand
    std::vector<Probe> probes_;                // by first_rule
    std::vector<Choice> more_;                 // the first is no choice
  };
  struct List {
    std::vector<PolicyRule> rules;
    Index v4, v6;
    PolicyVerdict look_up(const PacketKey& key) const { return (key.v6() ? v6 : v4).look_up(key); }
  };
  Spd() = default;
  static Result<List> compile(std::vector<PolicyRule> rules, bool outbound);

  List outbound_, inbound_;
  std::uint64_t generation_ = 0;
  bool outbound_is_wide_ = false;
};

/// A worker's memory of its last look-ups, in front of the SPD. Direct-mapped, whole key compared;
/// empties itself when the Spd changes. One writer and reader: its worker's lane.
class FlowCache {
 public:
  static constexpr unsigned kBits = 10;
  static constexpr std::size_t kEntries = std::size_t{1} << kBits;

  const PolicyVerdict& outbound(const Spd& spd, const PacketKey& key) {
    return find(entries_[hash(key)], spd, key, &Spd::outbound);
  }
  const PolicyVerdict& inbound(const Spd& spd, const PacketKey& key) {
    return find(entries_[kEntries + hash(key)], spd, key, &Spd::inbound);
  }

 private:
  struct alignas(64) Entry {
    PacketKey key{};
    std::uint64_t generation = 0;
    PolicyVerdict verdict{};
  };
  static_assert(sizeof(Entry) == 64);

  using LookUp = PolicyVerdict (Spd::*)(const PacketKey&) const;

  static std::size_t hash(const PacketKey& key) {
    return hash_ends(fold_address(key.source) ^ key.upper, fold_address(key.destination)) >>
           (64 - kBits);
  }
  static const PolicyVerdict& find(Entry& entry, const Spd& spd, const PacketKey& key,
                                   LookUp look_up) {
    if (entry.generation == spd.generation() && key == entry.key) [[likely]]
      return entry.verdict;
    return ask(entry, spd, key, look_up);
  }
  // The key by value: the caller's stays in registers.
  static const PolicyVerdict& ask(Entry& entry, const Spd& spd, PacketKey key, LookUp look_up);

  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(2 * kEntries);
};

}  // namespace sealwire::pipelines
