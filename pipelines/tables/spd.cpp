#include "pipelines/tables/spd.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <map>
#include <string>
#include <utility>

namespace sealwire::pipelines {
namespace {

std::uint64_t next_generation() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

bool sound(const std::vector<Prefix>& prefixes) {
  for (const Prefix& prefix : prefixes)
    if (prefix.length > prefix.address.bits()) return false;
  return true;
}

bool sound(const std::vector<PortRange>& ranges) {
  for (const PortRange& range : ranges)
    if (range.first > range.last) return false;
  return true;
}

// Slots belong to the rule, whose place in memory stays.
PolicyVerdict verdict_of(const PolicyRule& rule, std::uint32_t number) {
  PolicyVerdict verdict{rule.action, static_cast<std::uint16_t>(rule.slots.size()), number, {}};
  if (verdict.slot_count == 1) {
    verdict.only = rule.slots.front();
  } else {
    verdict.slots = rule.slots.data();
  }
  return verdict;
}

bool less(const AddressPair& a, const AddressPair& b) { return std::memcmp(&a, &b, sizeof a) < 0; }

}  // namespace

Spd::~Spd() = default;

Spd::Index::Index(const std::vector<Rule>& rules) : more_(1) {
  using Less = bool (*)(const AddressPair&, const AddressPair&);
  using Grouped = std::map<AddressPair, std::vector<Choice>, Less>;  // in order, by addresses
  std::map<AddressPair, Grouped, Less> by_masks(&less);
  for (const Rule& rule : rules)
    by_masks.try_emplace(rule.selector.masks, &less)
        .first->second[rule.selector.addresses]
        .push_back({rule.selector.upper, 0, rule.verdict});
  for (auto& [masks, grouped] : by_masks) {
    const std::size_t size = std::bit_ceil(2 * grouped.size());
    Probe probe{masks, kFinalRule, static_cast<std::uint32_t>(64 - std::countr_zero(size)),
                std::vector<Bucket>(size)};
    for (auto& [addresses, choices] : grouped) {
      probe.first_rule = std::min(probe.first_rule, choices.front().verdict.rule);
      for (std::size_t i = choices.size() - 1; i != 0; --i) {
        choices[i - 1].next = static_cast<std::uint32_t>(more_.size());
        more_.push_back(choices[i]);
      }
      std::size_t at = probe.place(addresses);
      while (probe.buckets[at].first.verdict.rule != kFinalRule) at = (at + 1) & (size - 1);
      probe.buckets[at] = {addresses, choices.front()};
    }
    probes_.push_back(std::move(probe));
  }
  std::sort(probes_.begin(), probes_.end(),
            [](const Probe& a, const Probe& b) { return a.first_rule < b.first_rule; });
  wide_ = probes_.size() == 1 && probes_.front().buckets.size() > kWide;
}

PolicyVerdict Spd::Index::look_up(const PacketKey& key) const {
  PolicyVerdict best;
  std::uint32_t claimed = kFinalRule;  // the first that might have taken this fragment's datagram
  for (const Probe& probe : probes_) {
    if (probe.first_rule >= best.rule) break;
    const Bucket* const bucket = probe.find(key);
    if (bucket == nullptr) continue;
    for (const Choice* choice = &bucket->first; choice->verdict.rule < best.rule;
         choice = &more_[choice->next]) {
      if (choice->upper.protocol_matches(key)) {
        if (choice->upper.ports_match(key)) {
          best = choice->verdict;
          break;
        }
        if (key.fragment()) claimed = std::min(claimed, choice->verdict.rule);
      }
      if (choice->next == 0) break;
    }
  }
  return best.action == PolicyAction::bypass && claimed < best.rule ? PolicyVerdict{} : best;
}

Result<Spd::List> Spd::compile(std::vector<PolicyRule> rules, bool outbound) {
  List list;
  std::vector<Index::Rule> v4, v6;
  for (std::uint32_t i = 0; i < rules.size(); ++i) {
    const PolicyRule& rule = rules[i];
    if (outbound && rule.action == PolicyAction::protect) {
      bool missing = rule.slots.empty() || rule.slots.size() > 0xffff;
      for (const OutboundSlot* slot : rule.slots) missing |= slot == nullptr;
      if (missing)
        return fail("SW-SPD-001",
                    "outbound rule " + std::to_string(i) + " says PROTECT and names no SA",
                    "give the rule an SA");
    }
    const Selector& selector = rule.selector;
    if (!sound(selector.source) || !sound(selector.destination) || !sound(selector.source_ports) ||
        !sound(selector.destination_ports))
      return fail("SW-SPD-002",
                  "rule " + std::to_string(i) + " has a prefix or port range that cannot be",
                  "prefix lengths up to 32 (IPv4) or 128 (IPv6), ranges from low to high");
    const PolicyVerdict verdict = verdict_of(rule, i);
    for (const FlatSelector& flat : flatten(selector))
      (flat.v6 ? v6 : v4).push_back({flat, verdict});
  }
  list.v4 = Index(v4);
  list.v6 = Index(v6);
  list.rules = std::move(rules);
  return list;
}

Result<std::unique_ptr<const Spd>> Spd::build(std::vector<PolicyRule> outbound,
                                              std::vector<PolicyRule> inbound) {
  Result<List> out = compile(std::move(outbound), true);
  if (!out) return tl::unexpected(std::move(out.error()));
  Result<List> in = compile(std::move(inbound), false);
  if (!in) return tl::unexpected(std::move(in.error()));
  std::unique_ptr<Spd> spd(new Spd);
  spd->outbound_ = std::move(*out);
  spd->inbound_ = std::move(*in);
  spd->generation_ = next_generation();
  spd->outbound_is_wide_ = spd->outbound_.v4.is_wide() || spd->outbound_.v6.is_wide();
  return std::unique_ptr<const Spd>(std::move(spd));
}

const PolicyVerdict& FlowCache::ask(Entry& entry, const Spd& spd, PacketKey key, LookUp look_up) {
  entry = {key, spd.generation(), (spd.*look_up)(key)};
  return entry.verdict;
}

}  // namespace sealwire::pipelines
