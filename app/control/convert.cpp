#include "app/control/convert.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sealwire::control {
namespace {

template <class To, class From>
std::vector<To> convert_all(const std::vector<From>& from) {
  std::vector<To> all;
  all.reserve(from.size());
  for (const From& one : from) all.push_back(convert(one));
  return all;
}

std::vector<pipelines::PortRange> ranges(const std::vector<config::PortRange>& from) {
  std::vector<pipelines::PortRange> all;
  for (const config::PortRange& range : from) all.push_back({range.first, range.last});
  return all;
}

crypto::nonce::EspSalt esp_salt(const config::EspSa& sa) {
  crypto::nonce::EspSalt salt{};
  const auto octets = sa.salt.bytes.view();
  std::copy_n(octets.begin(), std::min(octets.size(), salt.size()), salt.begin());
  return salt;
}

}  // namespace

pipelines::IpAddress convert(const config::IpAddress& address) {
  return {address.v6, address.octets};
}

pipelines::Prefix convert(const config::Prefix& prefix) {
  return {convert(prefix.address), prefix.length};
}

pipelines::Selector convert(const config::Selector& selector) {
  pipelines::Selector out;
  out.source = convert_all<pipelines::Prefix>(selector.source);
  out.destination = convert_all<pipelines::Prefix>(selector.destination);
  out.protocol = selector.protocol;
  out.source_ports = ranges(selector.source_ports);
  out.destination_ports = ranges(selector.destination_ports);
  return out;
}

config::Selector mirrored(const config::Selector& selector) {
  config::Selector out = selector;
  std::swap(out.source, out.destination);
  std::swap(out.source_ports, out.destination_ports);
  return out;
}

pipelines::CipherSuite convert(config::CipherSuite suite) {
  switch (suite) {
    case config::CipherSuite::gcm_aes_128:
      return pipelines::CipherSuite::gcm_aes_128;
    case config::CipherSuite::gcm_aes_256:
      return pipelines::CipherSuite::gcm_aes_256;
    case config::CipherSuite::gcm_aes_xpn_128:
      return pipelines::CipherSuite::gcm_aes_xpn_128;
    case config::CipherSuite::gcm_aes_xpn_256:
      return pipelines::CipherSuite::gcm_aes_xpn_256;
  }
  return pipelines::CipherSuite::gcm_aes_xpn_256;
}

pipelines::ValidateFrames convert(config::ValidateFrames how) {
  switch (how) {
    case config::ValidateFrames::strict:
      return pipelines::ValidateFrames::strict;
    case config::ValidateFrames::check:
      return pipelines::ValidateFrames::check;
    case config::ValidateFrames::disabled:
      return pipelines::ValidateFrames::disabled;
  }
  return pipelines::ValidateFrames::strict;
}

pipelines::LifetimeLimits convert(const config::Lifetime& lifetime) {
  return {lifetime.soft_octets, lifetime.hard_octets, lifetime.soft_packets, lifetime.hard_packets};
}

pipelines::SecySettings secy_settings(const config::Macsec& macsec, const config::SecY& secy,
                                      std::span<const std::uint8_t, 6> mac) {
  pipelines::SecySettings settings;
  std::uint64_t own = 0;
  for (const std::uint8_t octet : mac) own = own << 8 | octet;
  settings.sci = crypto::Sci(secy.sci.value_or(own << 16 | 1));
  settings.protect_frames = macsec.protect_frames;
  settings.validate_frames = convert(macsec.validate_frames);
  settings.include_sci = macsec.include_sci;
  settings.use_es = macsec.use_es;
  settings.use_scb = macsec.use_scb;
  settings.replay_protect = macsec.replay_protect;
  settings.replay_window = macsec.replay_window;
  settings.duplicate_bitmap = macsec.duplicate_bitmap;
  settings.vlan_in_clear = macsec.vlan_in_clear;
  if (const config::Mka* mka = config::mka_of(macsec, secy)) {
    settings.eapol_ethertype = mka->eapol_ethertype;
  }
  return settings;
}

pipelines::OutboundSaParameters outbound_parameters(const config::EspSa& sa) {
  pipelines::OutboundSaParameters out;
  out.spi = crypto::Spi(sa.spi);
  out.algorithm = sa.algorithm;
  out.salt = esp_salt(sa);
  out.source = convert(sa.source);
  out.destination = convert(sa.destination);
  out.esn = sa.esn;
  out.dscp = sa.dscp;
  out.ecn = sa.ecn == config::EcnMode::normal ? pipelines::EcnPolicy::normal
                                              : pipelines::EcnPolicy::compatibility;
  out.df = sa.df == config::DfMode::copy  ? pipelines::DfPolicy::copy
           : sa.df == config::DfMode::set ? pipelines::DfPolicy::set
                                          : pipelines::DfPolicy::clear;
  out.ttl = sa.ttl;
  out.path_mtu = sa.path_mtu;
  if (sa.udp) {
    out.udp = pipelines::UdpEncapsulation{sa.udp->source_port, sa.udp->destination_port,
                                          static_cast<std::uint32_t>(sa.udp->keepalive.count())};
  }
  out.lifetime = convert(sa.lifetime);
  return out;
}

pipelines::InboundSaParameters inbound_parameters(const config::EspSa& sa) {
  pipelines::InboundSaParameters out;
  out.spi = crypto::Spi(sa.spi);
  out.algorithm = sa.algorithm;
  out.salt = esp_salt(sa);
  out.source = convert(sa.source);
  out.destination = convert(sa.destination);
  out.esn = sa.esn;
  out.replay_window = sa.replay_window;
  out.ecn = sa.ecn == config::EcnMode::normal ? pipelines::EcnPolicy::normal
                                              : pipelines::EcnPolicy::compatibility;
  out.udp = sa.udp.has_value();
  out.lifetime = convert(sa.lifetime);
  out.selectors = convert_all<pipelines::Selector>(sa.selectors);
  return out;
}

std::string to_text(const pipelines::IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.octets.data(), text.data(), text.size());
  return text.data();
}

std::string to_text(const config::IpAddress& address) { return to_text(convert(address)); }

std::string mac_text(std::span<const std::uint8_t, 6> mac) {
  return fmt::format("{:02x}", fmt::join(mac, ":"));
}

std::string sci_text(std::uint64_t sci) {
  std::array<std::uint8_t, 6> mac{};
  for (std::size_t i = 0; i < 6; ++i) mac[i] = static_cast<std::uint8_t>(sci >> (56 - 8 * i));
  return fmt::format("{}/{}", mac_text(mac), sci & 0xffff);
}

std::string spi_text(std::uint32_t spi) { return fmt::format("0x{:08x}", spi); }

std::string suite_text(pipelines::CipherSuite suite) {
  switch (suite) {
    case pipelines::CipherSuite::gcm_aes_128:
      return "gcm-aes-128";
    case pipelines::CipherSuite::gcm_aes_256:
      return "gcm-aes-256";
    case pipelines::CipherSuite::gcm_aes_xpn_128:
      return "gcm-aes-xpn-128";
    case pipelines::CipherSuite::gcm_aes_xpn_256:
      return "gcm-aes-xpn-256";
  }
  return "?";
}

}  // namespace sealwire::control
