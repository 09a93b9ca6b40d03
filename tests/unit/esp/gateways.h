// Gateway lines between ports, [esp] and [esp, macsec], two of them facing each other.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "pipelines/stages/gateway.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/spd.h"
#include "pipelines/wire/ip.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {

inline constexpr std::uint8_t kOutsideMac[2][6] = {{2, 0xbb, 0, 0, 0, 1}, {2, 0xbb, 0, 0, 0, 2}};
inline constexpr std::uint8_t kInsideMac[6] = {2, 0xcc, 0, 0, 0, 1};
inline constexpr std::size_t kStampAt = 14 + 20 + 8;

// Site n has 10.n.0.0/24 inside and 192.0.2.n outside.
inline Bytes udp_frame(unsigned from, unsigned to, std::uint32_t stamp, std::size_t length) {
  Bytes f(14 + length);
  std::memcpy(f.data(), kInsideMac, 6);
  f[6] = 2;
  f[12] = 8;
  std::uint8_t* p = f.data() + 14;
  p[0] = 0x45;
  wire::store_be(p + 2, static_cast<std::uint16_t>(length));
  p[8] = 64;
  p[9] = 17;
  const std::uint8_t addresses[8] = {10, static_cast<std::uint8_t>(from), 0, 10,
                                     10, static_cast<std::uint8_t>(to),   0, 10};
  std::memcpy(p + 12, addresses, 8);
  wire::set_ipv4_checksum(p, 20);
  for (std::size_t i = 20; i < length; ++i) p[i] = static_cast<std::uint8_t>(i * 13 + stamp);
  std::memcpy(f.data() + kStampAt, &stamp, 4);
  return f;
}

// A Wire turned into a gateway.
struct GatewayLine : Wire {
  GatewayLine(const LineOptions& options, unsigned n, unsigned other)
      : Wire(options),
        number(n),
        peer(other),
        sad([this](std::shared_ptr<void> old) { retired.push_back(std::move(old)); }),
        slot(sad.make_slot()) {
    auto net = [](std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d,
                  std::uint8_t length) {
      return Prefix{IpAddress::v4(a, b, c, d), length};
    };
    const auto own = static_cast<std::uint8_t>(n), theirs = static_cast<std::uint8_t>(other);
    GatewayPort in, out;
    in.addresses = {net(10, own, 0, 1, 24)};
    out.addresses = {net(192, 0, 2, own, 24)};
    gateway = make_gateway({in}, {out}, {}, neighbours);
    neighbours.resolve(*neighbours.get(Side::inside, 0, IpAddress::v4(10, own, 0, 10)),
                       {2, 0xaa, 0, 0, 0, own});
    neighbours.resolve(*neighbours.get(Side::outside, 0, IpAddress::v4(192, 0, 2, theirs)),
                       {2, 0xbb, 0, 0, 0, theirs});
    PolicyRule outbound, inbound;
    outbound.action = inbound.action = PolicyAction::protect;
    outbound.selector.source = {net(10, own, 0, 0, 24)};
    outbound.selector.destination = {net(10, theirs, 0, 0, 24)};
    inbound.selector.source = outbound.selector.destination;
    inbound.selector.destination = outbound.selector.source;
    outbound.slots = {slot};
    spd = Spd::build({outbound}, {inbound}).value();
    selectors = {inbound.selector};
    snapshot.esp = true;
    snapshot.sad = &sad;
    snapshot.spd = spd.get();
    snapshot.gateway = &gateway;
    std::memcpy(snapshot.inside[0].mac, kInsideMac, 6);
    std::memcpy(snapshot.outside[0].mac, kOutsideMac[n - 1], 6);
  }

  static std::unique_ptr<crypto::AeadKey> key(std::uint32_t spi) {
    Bytes octets(16, static_cast<std::uint8_t>(spi));
    std::memcpy(octets.data(), &spi, 4);
    return engine().make_key(crypto::Algorithm::aes_gcm_128, crypto::SecretBytes(octets)).value();
  }
  // Of an SA between site `from` and site `to`, for one end or the other.
  template <class Parameters>
  static Parameters parameters(std::uint32_t spi, unsigned from, unsigned to) {
    Parameters p;
    p.cookie = spi;
    p.spi = crypto::Spi(spi);
    p.key = key(spi);
    p.source = IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(from));
    p.destination = IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(to));
    return p;
  }
  void send_by(std::uint32_t spi) {
    ASSERT_TRUE(sad.install(*slot, parameters<OutboundSaParameters>(spi, number, peer)));
  }
  void receive_by(std::uint32_t spi) {
    auto p = parameters<InboundSaParameters>(spi, peer, number);
    p.replay_window = 32;
    p.selectors = selectors;
    ASSERT_TRUE(sad.add_inbound(std::move(p)));
  }

  unsigned number, peer;
  std::vector<std::shared_ptr<void>> retired;
  Neighbours neighbours;
  Gateway gateway;
  Sad sad;
  OutboundSlot* slot;
  std::unique_ptr<const Spd> spd;
  std::vector<Selector> selectors;
};

struct Gateways {
  explicit Gateways(bool macsec, Spread spread = Spread::alone)
      : a(options(macsec, spread, kSciA), 1, 2), b(options(macsec, spread, kSciB), 2, 1) {
    if (macsec) {
      add_transmit(*a.secy, {});
      add_receive(*b.secy, kSciA, {});
      add_transmit(*b.secy, {.fill = 2});
      add_receive(*a.secy, kSciB, {.fill = 2});
    }
    rekey();
  }
  static LineOptions options(bool macsec, Spread spread, std::uint64_t sci) {
    LineOptions o;
    o.macsec = macsec;
    o.secy.sci = crypto::Sci(sci);
    o.egress = spread;
    o.mtu = 1500;
    return o;
  }
  // Receive, then send, by the next pair of SPIs; the pair before the last goes.
  void rekey() {
    ++epoch;
    a.receive_by(0x2000 + epoch);
    b.receive_by(0x1000 + epoch);
    a.send_by(0x1000 + epoch);
    b.send_by(0x2000 + epoch);
    if (epoch > 2) {
      a.sad.remove_inbound(crypto::Spi(0x2000 + epoch - 2));
      b.sad.remove_inbound(crypto::Spi(0x1000 + epoch - 2));
    }
  }
  GatewayLine a, b;
  std::uint32_t epoch = 0;
};

}  // namespace sealwire::pipelines::test
