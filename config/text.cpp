#include "config/text.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

namespace sealwire::config {
namespace {

std::optional<std::uint64_t> digits(std::string_view text, int base) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> times(std::uint64_t a, std::uint64_t b) {
  if (a != 0 && b > std::numeric_limits<std::uint64_t>::max() / a) return std::nullopt;
  return a * b;
}

// "30s" -> {"30", "s"}
std::pair<std::string_view, std::string_view> split_unit(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  return {text.substr(0, end), text.substr(end)};
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr Unit kTimes[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};
constexpr Unit kSizes[] = {{"TiB", 1ULL << 40},
                           {"GiB", 1ULL << 30},
                           {"MiB", 1ULL << 20},
                           {"KiB", 1ULL << 10},
                           {"TB", 1'000'000'000'000},
                           {"GB", 1'000'000'000},
                           {"MB", 1'000'000},
                           {"kB", 1'000},
                           {"B", 1}};

template <std::size_t N>
std::optional<std::uint64_t> with_unit(std::string_view text, const Unit (&units)[N]) {
  const auto [number, unit] = split_unit(text);
  const auto value = digits(number, 10);
  if (!value) return std::nullopt;
  for (const Unit& candidate : units)
    if (candidate.name == unit) return times(*value, candidate.factor);
  return std::nullopt;
}

struct Protocol {
  std::string_view name;
  std::uint8_t number;
};
constexpr Protocol kProtocols[] = {{"icmp", 1},    {"igmp", 2},  {"ipip", 4},   {"tcp", 6},
                                   {"udp", 17},    {"dccp", 33}, {"ipv6", 41},  {"gre", 47},
                                   {"icmpv6", 58}, {"ospf", 89}, {"sctp", 132}, {"udp-lite", 136}};

std::int64_t days_from_civil(std::int64_t y, unsigned m, unsigned d) {
  return std::chrono::sys_days{std::chrono::year{static_cast<int>(y)} / std::chrono::month{m} /
                               std::chrono::day{d}}
      .time_since_epoch()
      .count();
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return digits(text.substr(2), 16);
  return digits(text, 10);
}

std::optional<Milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return Milliseconds{0};
  const auto value = with_unit(text, kTimes);
  if (!value || *value > static_cast<std::uint64_t>(Milliseconds::max().count()))
    return std::nullopt;
  return Milliseconds{static_cast<Milliseconds::rep>(*value)};
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  if (const auto plain = digits(text, 10)) return plain;
  return with_unit(text, kSizes);
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const auto octet = digits(text.substr(i * 3, 2), 16);
    if (!octet) return std::nullopt;
    if (i > 0 && text[i * 3 - 1] != text[2]) return std::nullopt;
    mac.octets[i] = static_cast<std::uint8_t>(*octet);
  }
  if (text[2] != ':' && text[2] != '-') return std::nullopt;
  return mac;
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  IpAddress address;
  address.v6 = copy.find(':') != std::string::npos;
  if (inet_pton(address.v6 ? AF_INET6 : AF_INET, copy.c_str(), address.octets.data()) != 1)
    return std::nullopt;
  return address;
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  if (!address) return std::nullopt;
  const std::uint64_t longest = address->v6 ? 128 : 32;
  std::uint64_t length = longest;
  if (slash != std::string_view::npos) {
    const auto given = digits(text.substr(slash + 1), 10);
    if (!given || *given > longest) return std::nullopt;
    length = *given;
  }
  return Prefix{*address, static_cast<std::uint8_t>(length)};
}

std::optional<std::uint64_t> parse_sci(std::string_view text) {
  if (text.size() == 16) return digits(text, 16);
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto mac = parse_mac(text.substr(0, slash));
  const auto port = digits(text.substr(slash + 1), 10);
  if (!mac || !port || *port > 0xffff) return std::nullopt;
  std::uint64_t sci = 0;
  for (const std::uint8_t octet : mac->octets) sci = sci << 8 | octet;
  return sci << 16 | *port;
}

std::optional<PortRange> parse_port_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = digits(text.substr(0, dash), 10);
  const auto last = dash == std::string_view::npos ? first : digits(text.substr(dash + 1), 10);
  if (!first || !last || *last > 0xffff || *first > *last) return std::nullopt;
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  const auto address = parse_ip(text.substr(0, colon));
  const auto port = digits(text.substr(std::min(colon + 1, text.size())), 10);
  if (!address || address->v6 || !port || *port == 0 || *port > 0xffff) return std::nullopt;
  return Endpoint{*address, static_cast<std::uint16_t>(*port)};
}

std::optional<std::vector<std::uint8_t>> parse_hex(std::string_view text) {
  std::vector<std::uint8_t> octets;
  octets.reserve(text.size() / 2);
  while (!text.empty()) {
    const auto octet = text.size() < 2 ? std::nullopt : digits(text.substr(0, 2), 16);
    if (!octet) return std::nullopt;
    octets.push_back(static_cast<std::uint8_t>(*octet));
    text.remove_prefix(2);
    if (text.size() > 1 && text.front() == ':') text.remove_prefix(1);
  }
  return octets;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  // 2027-01-01T00:00:00Z
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':')
    return std::nullopt;
  const auto part = [&](std::size_t at, std::size_t n) { return digits(text.substr(at, n), 10); };
  const auto year = part(0, 4), month = part(5, 2), day = part(8, 2);
  const auto hour = part(11, 2), minute = part(14, 2), second = part(17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  if (!(std::chrono::year{static_cast<int>(*year)} /
        std::chrono::month{static_cast<unsigned>(*month)} /
        std::chrono::day{static_cast<unsigned>(*day)})
           .ok())
    return std::nullopt;
  std::int64_t offset = 0;
  const std::string_view zone = text.substr(19);
  if (zone != "Z") {
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':')
      return std::nullopt;
    const auto hours = digits(zone.substr(1, 2), 10), minutes = digits(zone.substr(4, 2), 10);
    if (!hours || !minutes || *hours > 14 || *minutes > 59) return std::nullopt;
    offset = static_cast<std::int64_t>(*hours * 3600 + *minutes * 60) * (zone[0] == '-' ? -1 : 1);
  }
  return days_from_civil(static_cast<std::int64_t>(*year), static_cast<unsigned>(*month),
                         static_cast<unsigned>(*day)) *
             86400 +
         static_cast<std::int64_t>(*hour * 3600 + *minute * 60 + *second) - offset;
}

std::optional<std::uint8_t> parse_protocol(std::string_view text) {
  for (const Protocol& p : kProtocols)
    if (p.name == text) return p.number;
  const auto number = digits(text, 10);
  if (!number || *number > 255) return std::nullopt;
  return static_cast<std::uint8_t>(*number);
}

std::string to_string(Milliseconds duration) {
  const auto count = static_cast<std::uint64_t>(duration.count());
  if (count == 0) return "0";
  for (const Unit& unit : kTimes)
    if (count % unit.factor == 0) return fmt::format("{}{}", count / unit.factor, unit.name);
  return fmt::format("{}ms", count);
}

std::string size_to_string(std::uint64_t octets) {
  if (octets == 0) return "0";
  for (const Unit& unit : kSizes)
    if (unit.name.size() == 3 && octets % unit.factor == 0)
      return fmt::format("{}{}", octets / unit.factor, unit.name);
  return std::to_string(octets);
}

std::string to_string(const MacAddress& mac) {
  const auto& o = mac.octets;
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", o[0], o[1], o[2], o[3], o[4],
                     o[5]);
}

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.octets.data(), text, sizeof text);
  return text;
}

std::string to_string(const Prefix& prefix) {
  return fmt::format("{}/{}", to_string(prefix.address), prefix.length);
}

std::string sci_to_string(std::uint64_t sci) {
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i)
    mac.octets[i] = static_cast<std::uint8_t>(sci >> (56 - 8 * i));
  return fmt::format("{}/{}", to_string(mac), sci & 0xffff);
}

std::string to_string(const Endpoint& endpoint) {
  return to_string(endpoint.address) + ":" + std::to_string(endpoint.port);
}

std::string to_string(const PortRange& range) {
  if (range.first == range.last) return std::to_string(range.first);
  return fmt::format("{}-{}", range.first, range.last);
}

Prefix network_of(const Prefix& prefix) {
  Prefix network = prefix;
  for (std::size_t i = 0; i < network.address.octets.size(); ++i) {
    const int kept = std::clamp(static_cast<int>(prefix.length) - static_cast<int>(i) * 8, 0, 8);
    network.address.octets[i] &= static_cast<std::uint8_t>(0xff00 >> kept);
  }
  return network;
}

bool contains(const Prefix& outer, const IpAddress& address) {
  return outer.address.v6 == address.v6 &&
         network_of({address, outer.length}).address == network_of(outer).address;
}

bool contains(const Prefix& outer, const Prefix& inner) {
  return inner.length >= outer.length && contains(outer, inner.address);
}

namespace {

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before = last;
    last = now;
  }
  return last[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  constexpr std::size_t kLongest = 64;  // longer words are no misspelt names
  if (word.size() > kLongest) return {};
  std::string folded(word);
  for (char& c : folded) {
    if (c == '_' || c == ' ') c = '-';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  std::string_view best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const std::size_t d = distance(folded, candidate);
    if (d < least && d < candidate.size()) {
      least = d;
      best = candidate;
    }
  }
  return std::string(best);
}

}  // namespace sealwire::config
