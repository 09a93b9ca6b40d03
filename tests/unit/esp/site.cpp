#include "tests/unit/esp/site.h"

#include <arpa/inet.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

#include "crypto/engines/ipsec_mb.h"
#include "crypto/engines/openssl.h"
#include "pipelines/stages/classify.h"
#include "pipelines/stages/esp_egress.h"
#include "pipelines/stages/esp_ingress.h"
#include "pipelines/stages/ethernet.h"
#include "pipelines/wire/ip.h"
#include "pipelines/wire/udp.h"

namespace sealwire::pipelines::test {
namespace {

void start_eal() {
  std::string file_prefix = "--file-prefix=esp_test_" + std::to_string(getpid());
  std::vector<std::string> words{"esp_test",       "--no-pci",    "--no-huge",   "-m", "128",
                                 "--no-telemetry", "--log-level", "lib.*:error", "-l", "0",
                                 file_prefix};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
    throw std::runtime_error(std::string("EAL: ") + rte_strerror(rte_errno));
}

std::uint8_t host_octet(int site) { return static_cast<std::uint8_t>(site); }

}  // namespace

rte_mempool* pool() {
  static rte_mempool* const made = [] {
    start_eal();
    return rte_pktmbuf_pool_create("esp_test", 1023, 0, 0, 10240, SOCKET_ID_ANY);
  }();
  return made;
}

rte_mbuf* mbuf_of(const Octets& frame, rte_mempool* from, std::uint16_t headroom,
                  std::size_t segment) {
  rte_mbuf* first = nullptr;
  for (std::size_t at = 0; first == nullptr || at < frame.size();) {
    rte_mbuf* m = rte_pktmbuf_alloc(from == nullptr ? pool() : from);
    if (m == nullptr) throw std::runtime_error("pool empty");
    m->data_off = headroom;
    const std::size_t length = segment == 0 ? frame.size() : std::min(segment, frame.size() - at);
    char* data = rte_pktmbuf_append(m, static_cast<std::uint16_t>(length));
    if (data == nullptr) throw std::runtime_error("frame too long");
    if (length != 0) std::memcpy(data, frame.data() + at, length);
    at += length;
    if (first == nullptr) {
      first = m;
    } else if (rte_pktmbuf_chain(first, m) != 0) {
      throw std::runtime_error("too many segments");
    }
  }
  return first;
}

Octets octets_of(const rte_mbuf* m) {
  Octets out;
  for (; m != nullptr; m = m->next) {
    const auto* data = rte_pktmbuf_mtod(m, const std::uint8_t*);
    out.insert(out.end(), data, data + m->data_len);
  }
  return out;
}

IpAddress ip(const char* text) {
  IpAddress address;
  if (inet_pton(AF_INET, text, address.octets.data()) == 1) return address;
  address.v6 = true;
  if (inet_pton(AF_INET6, text, address.octets.data()) != 1) throw std::runtime_error(text);
  return address;
}

Prefix prefix(const char* text) {
  std::string s(text);
  std::size_t slash = s.find('/');
  return {ip(s.substr(0, slash).c_str()),
          static_cast<std::uint8_t>(std::stoi(s.substr(slash + 1)))};
}

Octets packet_of(const Inner& inner) {
  IpAddress source = ip(inner.source), destination = ip(inner.destination);
  std::size_t header = source.v6 ? 40 : 20;
  Octets p(header + inner.payload);
  if (source.v6) {
    wire::store_be(p.data(), static_cast<std::uint16_t>(0x6000U | inner.tos << 4U));
    wire::store_be(p.data() + 4, inner.payload);
    p[6] = inner.protocol;
    p[7] = inner.ttl;
    std::memcpy(p.data() + 8, source.octets.data(), 16);
    std::memcpy(p.data() + 24, destination.octets.data(), 16);
  } else {
    p[0] = 0x45;
    p[1] = inner.tos;
    wire::store_be(p.data() + 2, static_cast<std::uint16_t>(p.size()));
    wire::store_be(p.data() + 4, std::uint16_t{0x4242});
    wire::store_be(p.data() + 6, static_cast<std::uint16_t>((inner.dont_fragment ? 0x4000U : 0U) |
                                                            inner.fragment));
    p[8] = inner.ttl;
    p[9] = inner.protocol;
    std::memcpy(p.data() + 12, source.octets.data(), 4);
    std::memcpy(p.data() + 16, destination.octets.data(), 4);
    wire::set_ipv4_checksum(p.data(), 20);
  }
  for (std::size_t i = 0; i < inner.payload; ++i)
    p[header + i] = static_cast<std::uint8_t>(i * 7 + 3);
  if (inner.payload >= 4 && (inner.protocol == 17 || inner.protocol == 6)) {
    wire::store_be(p.data() + header, inner.source_port);
    wire::store_be(p.data() + header + 2, inner.destination_port);
  }
  return p;
}

Octets frame_of(const Octets& packet, const std::uint8_t (&destination)[6]) {
  Octets f(destination, destination + 6);
  f.insert(f.end(), {0x02, 0xee, 0, 0, 0, 1});
  bool v6 = !packet.empty() && packet[0] >> 4 == 6;
  f.push_back(v6 ? 0x86 : 0x08);
  f.push_back(v6 ? 0xdd : 0x00);
  f.insert(f.end(), packet.begin(), packet.end());
  return f;
}

crypto::SecretBytes key_material(crypto::Algorithm algorithm, std::uint8_t seed) {
  crypto::SecretBytes key(crypto::info(algorithm).key_length());
  std::uint8_t next = seed;
  for (std::uint8_t& octet : key.mutable_view())
    octet = next = static_cast<std::uint8_t>(next * 5 + 17);
  return key;
}

crypto::Engine& engine(const char* name) {
  struct Made {
    std::unique_ptr<crypto::EngineFactory> factory;
    std::unique_ptr<crypto::Engine> engine;
  };
  static std::map<std::string, Made> made;
  Made& entry = made[name];
  if (entry.engine == nullptr) {
    auto factory = std::string(name) == "openssl" ? crypto::make_openssl_factory()
                                                  : crypto::make_ipsec_mb_factory();
    if (!factory) throw std::runtime_error(factory.error().message);
    entry.factory = std::move(*factory);
    entry.engine = std::move(*entry.factory->make());
  }
  return *entry.engine;
}

Site::Site(int n, int p)
    : number(n),
      peer(p),
      sad([this](std::shared_ptr<void> old) { retired.push_back(std::move(old)); }),
      slot(sad.make_slot()),
      egress_line(Direction::egress, Spread::alone),
      ingress_line(Direction::ingress, Spread::alone) {
  auto address = [](const char* before, int site, const char* after) {
    return before + std::to_string(site) + after;
  };
  GatewayPort inside, outside;
  inside.addresses = {prefix(address("10.", n, ".0.1/24").c_str()),
                      prefix(address("fd00:", n, "::1/64").c_str())};
  outside.addresses = {prefix(address("192.0.2.", n, "/24").c_str()),
                       prefix(address("2001:db8::", n, "/64").c_str())};
  gateway = make_gateway({inside}, {outside}, {}, neighbours);
  for (const char* host : {".0.10", ".0.20"})
    neighbours.resolve(*neighbours.get(Side::inside, 0, ip(address("10.", n, host).c_str())),
                       {0x02, 0xaa, 0, 0, host_octet(n), 10});
  neighbours.resolve(*neighbours.get(Side::inside, 0, ip(address("fd00:", n, "::10").c_str())),
                     {0x02, 0xaa, 0, 0, host_octet(n), 10});
  for (const char* net : {"192.0.2.", "2001:db8::"})
    neighbours.resolve(*neighbours.get(Side::outside, 0, ip(address(net, p, "").c_str())),
                       {0x02, 0xbb, 0, 0, host_octet(p), 1});
  LinePort port{};
  port.mtu = 1500;
  const std::uint8_t inside_mac[6] = {0x02, 0xcc, 0, 0, host_octet(n), 1};
  const std::uint8_t outside_mac[6] = {0x02, 0xbb, 0, 0, host_octet(n), 1};
  std::memcpy(port.mac, inside_mac, 6);
  snapshot.inside.push_back(port);
  std::memcpy(port.mac, outside_mac, 6);
  snapshot.outside.push_back(port);
  snapshot.esp = true;
  snapshot.secure = true;
  snapshot.sad = &sad;
  snapshot.gateway = &gateway;
  egress_line.pool = ingress_line.pool = test::pool();
  protect_all();
}

Site::~Site() = default;

void Site::set_policy(std::vector<PolicyRule> outbound, std::vector<PolicyRule> inbound) {
  auto built = Spd::build(std::move(outbound), std::move(inbound));
  if (!built) throw std::runtime_error(built.error().message);
  spd = std::move(*built);
  snapshot.spd = spd.get();
}

namespace {
Selector between(int from, int to) {
  auto nets = [](int site) {
    return std::vector<Prefix>{prefix(("10." + std::to_string(site) + ".0.0/16").c_str()),
                               prefix(("fd00:" + std::to_string(site) + "::/32").c_str())};
  };
  Selector selector;
  selector.source = nets(from);
  selector.destination = nets(to);
  return selector;
}
}  // namespace

void Site::protect_all() {
  PolicyRule out, in;
  out.action = in.action = PolicyAction::protect;
  out.selector = between(number, peer);
  in.selector = between(peer, number);
  out.slots = {slot};
  set_policy({out}, {in});
}

OutboundSaParameters Site::outbound_parameters(std::uint32_t spi, const TunnelOptions& o) {
  OutboundSaParameters p;
  p.cookie = spi;
  p.spi = crypto::Spi(spi);
  p.algorithm = o.algorithm;
  auto key = engine(o.engine).make_key(o.algorithm, key_material(o.algorithm));
  if (!key) throw std::runtime_error(key.error().message);
  p.key = std::move(*key);
  p.salt = {1, 2, 3, 4};
  auto outside = [&](int site) {
    return ip(((o.outer_v6 ? "2001:db8::" : "192.0.2.") + std::to_string(site)).c_str());
  };
  p.source = outside(number);
  p.destination = outside(peer);
  p.esn = o.esn;
  p.dscp = o.dscp;
  p.ecn = o.ecn;
  p.df = o.df;
  p.path_mtu = o.path_mtu;
  if (o.udp) p.udp = UdpEncapsulation{};
  p.lifetime = o.lifetime;
  p.next_sn = crypto::SeqNo(o.first_sn);
  p.sn_limit = o.sn_limit;
  return p;
}

InboundSaParameters Site::inbound_parameters(std::uint32_t spi, const TunnelOptions& o) {
  OutboundSaParameters peer_side = outbound_parameters(spi, o);
  InboundSaParameters p;
  p.cookie = spi;
  p.spi = crypto::Spi(spi);
  p.algorithm = o.algorithm;
  p.key = std::move(peer_side.key);
  p.salt = peer_side.salt;
  p.source = peer_side.destination;
  p.destination = peer_side.source;
  p.esn = o.esn;
  p.replay_window = o.window;
  p.udp = o.udp;
  p.lifetime = o.lifetime;
  p.selectors = o.selectors.empty() ? std::vector<Selector>{between(peer, number)} : o.selectors;
  return p;
}

void Site::outbound_sa(std::uint32_t spi, const TunnelOptions& options) {
  auto made = sad.install(*slot, outbound_parameters(spi, options));
  ASSERT_TRUE(made) << made.error().message;
}

void Site::inbound_sa(std::uint32_t spi, const TunnelOptions& options) {
  auto made = sad.add_inbound(inbound_parameters(spi, options));
  ASSERT_TRUE(made) << made.error().message;
}

namespace {
std::unique_ptr<Burst> burst_of(Site& site, LineDirection& line,
                                const std::vector<Octets>& frames) {
  auto burst = std::make_unique<Burst>();
  burst->direction = &line;
  burst->line = &site.snapshot;
  burst->worker = site.worker;
  burst->flows = &site.flows;
  burst->hops = &site.hops;
  for (const Octets& frame : frames) {
    Packet& p = burst->packets.at(burst->count++);
    p = Packet{};
    p.mbuf = mbuf_of(frame, site.pool, site.headroom, site.segment);
    p.to_inside = line.direction == Direction::ingress;
  }
  return burst;
}

void run(Burst& burst, const char* engine_name) {
  if (burst.batch.count != 0) {
    engine(engine_name).submit(burst.batch);
    while (!engine(engine_name).poll(burst.batch)) {
    }
  }
}
}  // namespace

std::vector<Outcome> Site::finish(Burst& burst) {
  std::vector<Outcome> out;
  for (Packet& p : burst.all()) {
    Outcome outcome;
    outcome.drop = p.drop;
    outcome.frame = octets_of(p.mbuf);
    outcome.to_inside = p.to_inside != 0;
    outcome.port = p.port;
    outcome.mark = get_mark<PuntMark>(p.mbuf);
    rte_pktmbuf_free(p.mbuf);
    out.push_back(std::move(outcome));
  }
  return out;
}

std::vector<Outcome> Site::egress(const std::vector<Octets>& frames, const char* engine_name) {
  auto burst = burst_of(*this, egress_line, frames);
  LaneCounters counters;
  ethernet::receive(*burst, counters);
  gateway_egress::classify(*burst);
  esp_egress::order(*burst);
  esp_egress::build(*burst);
  run(*burst, engine_name);
  esp_egress::finish(*burst);
  return finish(*burst);
}

std::vector<Outcome> Site::ingress(const std::vector<Octets>& frames, const char* engine_name) {
  auto burst = burst_of(*this, ingress_line, frames);
  LaneCounters counters;
  ethernet::receive(*burst, counters);
  esp_ingress::build(*burst);
  run(*burst, engine_name);
  esp_ingress::finish(*burst);
  esp_ingress::settle(*burst);
  return finish(*burst);
}

Pair::Pair(const TunnelOptions& options) {
  a.outbound_sa(0x1001, options);
  b.inbound_sa(0x1001, options);
  b.outbound_sa(0x2001, options);
  a.inbound_sa(0x2001, options);
}

}  // namespace sealwire::pipelines::test
