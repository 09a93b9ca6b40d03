#pragma once

// The written forms of scalar values, both ways. Parsers are strict: the whole text or nothing.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.h"

namespace sealwire::config {

// Decimal or 0x hexadecimal.
std::optional<std::uint64_t> parse_number(std::string_view text);
// "30s", "500ms", "20m", "8h", "7d"; a bare 0 is zero.
std::optional<Milliseconds> parse_duration(std::string_view text);
// "1500" or "1500B", "64KiB", "512MiB", "4GiB", "1TiB", and the decimal kB, MB, GB, TB.
std::optional<std::uint64_t> parse_size(std::string_view text);
// "02:00:00:00:00:0a", also with '-'.
std::optional<MacAddress> parse_mac(std::string_view text);
std::optional<IpAddress> parse_ip(std::string_view text);
// "10.0.0.0/8", "2001:db8::/32"; a bare address is a host prefix.
std::optional<Prefix> parse_prefix(std::string_view text);
// "MAC/port" with a decimal port identifier, or 16 hexadecimal digits.
std::optional<std::uint64_t> parse_sci(std::string_view text);
// "80" or "8000-8080".
std::optional<PortRange> parse_port_range(std::string_view text);
// "127.0.0.1:9464": an IPv4 address and a port.
std::optional<Endpoint> parse_endpoint(std::string_view text);
// Octets as hexadecimal digits, also with ':' between octets.
std::optional<std::vector<std::uint8_t>> parse_hex(std::string_view text);
// RFC 3339: "2027-01-01T00:00:00Z" or with an offset "+01:00"; Unix seconds.
std::optional<std::int64_t> parse_time(std::string_view text);
// "tcp", "udp", "icmp", ..., or 0..255.
std::optional<std::uint8_t> parse_protocol(std::string_view text);

std::string to_string(Milliseconds duration);
std::string size_to_string(std::uint64_t octets);
std::string to_string(const MacAddress& mac);
std::string to_string(const IpAddress& address);
std::string to_string(const Prefix& prefix);
std::string sci_to_string(std::uint64_t sci);
std::string to_string(const PortRange& range);
std::string to_string(const Endpoint& endpoint);

// The prefix without host bits.
Prefix network_of(const Prefix& prefix);
bool contains(const Prefix& outer, const IpAddress& address);
bool contains(const Prefix& outer, const Prefix& inner);

// The candidate nearest to `word`, or "" when none is near enough to have been meant.
std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace sealwire::config
