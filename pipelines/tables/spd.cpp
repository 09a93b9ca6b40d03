#include "pipelines/tables/spd.h"

#include <atomic>
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

}  // namespace

Spd::~Spd() = default;

Result<Spd::List> Spd::compile(std::vector<PolicyRule> rules, bool outbound) {
  List list;
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
    std::vector<FlatSelector> v4, v6;
    flatten(selector, v4, v6);
    for (const FlatSelector& flat : v4) list.v4.push_back({flat, i, rule.action});
    for (const FlatSelector& flat : v6) list.v6.push_back({flat, i, rule.action});
  }
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
  return std::unique_ptr<const Spd>(std::move(spd));
}

PolicyVerdict Spd::look_up(const List& list, const PacketKey& key) {
  bool claimed = false;  // an earlier rule might have taken the datagram this fragment belongs to
  for (const Flat& flat : key.v6() ? list.v6 : list.v4) {
    if (!flat.selector.addresses_match(key)) continue;
    if (!flat.selector.ports_match(key)) {
      claimed |= key.fragment();
      continue;
    }
    if (claimed && flat.action == PolicyAction::bypass) break;
    const PolicyRule& rule = list.rules[flat.rule];
    return {flat.action, static_cast<std::uint16_t>(rule.slots.size()), flat.rule,
            rule.slots.data()};
  }
  return {PolicyAction::discard, 0, kFinalRule, nullptr};
}

const PolicyVerdict& FlowCache::ask(Entry& entry, const Spd& spd, PacketKey key, LookUp look_up) {
  entry = {key, spd.generation(), (spd.*look_up)(key)};
  return entry.verdict;
}

}  // namespace sealwire::pipelines
