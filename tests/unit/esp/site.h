// Two gateways in one process, for the tests of ESP: bursts go through the stages without ports or
// threads.
#pragma once

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "crypto/aead.h"
#include "pipelines/burst.h"
#include "pipelines/line.h"
#include "pipelines/mark.h"
#include "pipelines/stages/forward.h"
#include "pipelines/stages/gateway.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/spd.h"

namespace sealwire::pipelines {

inline void PrintTo(DropReason reason, std::ostream* out) { *out << info(reason).name; }

}  // namespace sealwire::pipelines

namespace sealwire::pipelines::test {

using Octets = std::vector<std::uint8_t>;

/// A packet pool whose mbufs hold jumbo frames; EAL is up after the first call.
rte_mempool* pool();
rte_mbuf* mbuf_of(const Octets& frame, rte_mempool* from = nullptr, std::uint16_t headroom = 256,
                  std::size_t segment = 0);
Octets octets_of(const rte_mbuf* m);

IpAddress ip(const char* text);
Prefix prefix(const char* text);

/// An IP packet to be: defaults make a UDP packet of site A's inside host to site B's.
struct Inner {
  const char* source = "10.1.0.10";
  const char* destination = "10.2.0.20";
  std::uint8_t protocol = 17;
  std::uint16_t source_port = 1000;
  std::uint16_t destination_port = 2000;
  std::uint8_t tos = 0;
  std::uint8_t ttl = 64;
  bool dont_fragment = false;
  std::uint16_t fragment = 0;  // further bits of the flags and offset field
  std::uint16_t payload = 64;  // octets after the IP header
  bool operator==(const Inner&) const = default;
};
Octets packet_of(const Inner& inner);
Octets frame_of(const Octets& packet, const std::uint8_t (&destination)[6]);

/// The algorithm's key material: any octets of the right length, told apart by `seed`.
crypto::SecretBytes key_material(crypto::Algorithm algorithm, std::uint8_t seed = 1);
crypto::Engine& engine(const char* name = "openssl");

/// Result of one packet: what leaves, or why not.
struct Outcome {
  DropReason drop = DropReason::none;
  Octets frame;  // as it leaves, or as punted
  bool to_inside = false;
  std::uint16_t port = 0;
  PuntMark mark{};  // of a punted one
};

struct TunnelOptions {
  crypto::Algorithm algorithm = crypto::Algorithm::aes_gcm_128;
  bool outer_v6 = false;
  bool esn = false;
  bool udp = false;
  std::uint32_t window = 64;
  std::uint64_t first_sn = 1;
  std::uint64_t sn_limit = ~0ULL;
  DfPolicy df = DfPolicy::copy;
  EcnPolicy ecn = EcnPolicy::normal;
  std::optional<std::uint8_t> dscp{};
  std::uint16_t path_mtu = 0;
  LifetimeLimits lifetime{};
  std::vector<Selector> selectors{};  // none: anything between the two sites
  const char* engine = "openssl";
};

/// One gateway: inside 10.N.0.0/24 and fd00:N::/64, outside 192.0.2.N and 2001:db8::N. Its
/// neighbours are resolved.
class Site {
 public:
  Site(int number, int peer);
  ~Site();

  void set_policy(std::vector<PolicyRule> outbound, std::vector<PolicyRule> inbound);
  /// PROTECT everything between the sites, both ways.
  void protect_all();
  void outbound_sa(std::uint32_t spi, const TunnelOptions& options);
  void inbound_sa(std::uint32_t spi, const TunnelOptions& options);
  OutboundSaParameters outbound_parameters(std::uint32_t spi, const TunnelOptions& options);
  InboundSaParameters inbound_parameters(std::uint32_t spi, const TunnelOptions& options);

  /// Frames received inside (egress) or outside (ingress), as one burst.
  std::vector<Outcome> egress(const std::vector<Octets>& frames,
                              const char* engine_name = "openssl");
  std::vector<Outcome> ingress(const std::vector<Octets>& frames,
                               const char* engine_name = "openssl");
  Outcome egress_one(const Octets& frame) { return egress({frame}).at(0); }
  Outcome ingress_one(const Octets& frame) { return ingress({frame}).at(0); }

  Octets from_inside(const Inner& inner) {
    return frame_of(packet_of(inner), snapshot.inside[0].mac);
  }

  int number, peer;
  std::vector<std::shared_ptr<void>> retired;
  Neighbours neighbours;
  Gateway gateway;
  Sad sad;
  std::unique_ptr<const Spd> spd;
  OutboundSlot* slot;
  LineSnapshot snapshot;
  FlowCache flows;
  forward::HopCache hops;
  LineDirection egress_line, ingress_line;
  std::uint16_t worker = 0;
  std::uint16_t headroom = 256;      // of the frames it receives
  std::size_t segment = 0;           // they come in segments of so many octets; 0: in one
  rte_mempool* pool = test::pool();  // and from this pool

 private:
  std::vector<Outcome> finish(Burst& burst);
};

/// Sites 1 and 2 with one SA each way, site 1's SPI outward 0x1001.
struct Pair {
  explicit Pair(const TunnelOptions& options = {});
  Site a{1, 2}, b{2, 1};
};

}  // namespace sealwire::pipelines::test
