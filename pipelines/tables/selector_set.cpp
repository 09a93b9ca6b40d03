#include "pipelines/tables/selector_set.h"

#include <algorithm>
#include <cstring>

namespace sealwire::pipelines {
namespace {

void store(const Prefix& prefix, std::uint64_t (&value)[2], std::uint64_t (&mask)[2]) {
  std::array<std::uint8_t, 16> bits{};
  for (unsigned i = 0; i < prefix.length; ++i)
    bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | (0x80U >> (i % 8)));
  std::memcpy(mask, bits.data(), sizeof mask);
  std::memcpy(value, prefix.address.octets.data(), sizeof value);
  value[0] &= mask[0];
  value[1] &= mask[1];
}

void flatten(const Selector& selector, bool v6, std::vector<FlatSelector>& out) {
  static const std::vector<PortRange> kAnyPort{PortRange{}};
  const Prefix any{IpAddress{v6, {}}, 0};
  auto of_family = [&](const std::vector<Prefix>& given) {
    std::vector<Prefix> chosen;
    if (given.empty()) chosen.push_back(any);
    for (const Prefix& prefix : given)
      if (prefix.address.v6 == v6) chosen.push_back(prefix);
    return chosen;
  };
  const std::vector<PortRange>& sources =
      selector.source_ports.empty() ? kAnyPort : selector.source_ports;
  const std::vector<PortRange>& destinations =
      selector.destination_ports.empty() ? kAnyPort : selector.destination_ports;
  for (const Prefix& source : of_family(selector.source))
    for (const Prefix& destination : of_family(selector.destination))
      for (const PortRange& source_range : sources)
        for (const PortRange& destination_range : destinations) {
          FlatSelector flat{};
          flat.v6 = v6;
          store(source, flat.addresses.source, flat.masks.source);
          store(destination, flat.addresses.destination, flat.masks.destination);
          UpperSelector& upper = flat.upper;
          upper.any_protocol = !selector.protocol.has_value();
          upper.protocol = selector.protocol.value_or(0);
          upper.source_first = source_range.first;
          upper.source_last = source_range.last;
          upper.destination_first = destination_range.first;
          upper.destination_last = destination_range.last;
          upper.any_ports = source_range == PortRange{} && destination_range == PortRange{};
          out.push_back(flat);
        }
}

}  // namespace

std::vector<FlatSelector> flatten(const Selector& selector) {
  std::vector<FlatSelector> all;
  flatten(selector, false, all);
  flatten(selector, true, all);
  return all;
}

SelectorSet::SelectorSet(const std::vector<Selector>& selectors) : SelectorSet() {
  for (const Selector& selector : selectors)
    for (const FlatSelector& flat : flatten(selector)) more_.push_back(flat);
  if (more_.empty()) return;
  first_ = more_.front();
  more_.erase(more_.begin());
}

bool SelectorSet::more_match(PacketKey key) const {
  return std::any_of(more_.begin(), more_.end(),
                     [&key](const FlatSelector& rule) { return rule.matches(key); });
}

}  // namespace sealwire::pipelines
