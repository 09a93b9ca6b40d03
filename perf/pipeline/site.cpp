#include "perf/pipeline/site.h"

#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "pipelines/wire/be.h"

namespace sealwire::perf {
namespace {

using namespace pipelines;

constexpr std::uint16_t kMtu = 9000;
constexpr std::uint16_t kMacsecOctets = 32;  // SecTAG with SCI, ICV

rte_ring* make_ring(unsigned slots) {
  static int made = 0;
  rte_ring* ring = rte_ring_create(("bench" + std::to_string(made++)).c_str(), slots, SOCKET_ID_ANY,
                                   RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr) throw std::runtime_error("no memory for a ring");
  return ring;
}

IpAddress inside_address(int site, std::uint8_t host) {
  return IpAddress::v4(10, static_cast<std::uint8_t>(site), 0, host);
}
Prefix inside_net(int site) { return {inside_address(site, 0), 24}; }
IpAddress outside_address(int site) {
  return IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(site));
}

crypto::SecretBytes key_octets(crypto::Algorithm algorithm, int from, unsigned sa = 0) {
  crypto::SecretBytes key(crypto::info(algorithm).key_length());
  for (std::uint8_t& octet : key.mutable_view()) octet = static_cast<std::uint8_t>(from * 37);
  wire::store_be(key.mutable_view().data(), sa);
  return key;
}

// What SA `sa` of `sas` protects, from site 1 to site 2.
Selector selector_of(unsigned sa, unsigned sas) {
  Selector selector;
  selector.source = {inside_net(1)};
  if (sas > 1) {
    const std::uint32_t host = host_address(sa);
    const auto octet = [host](unsigned shift) { return static_cast<std::uint8_t>(host >> shift); };
    selector.source = {{IpAddress::v4(octet(24), octet(16), octet(8), octet(0)), 32}};
  }
  selector.destination = {inside_net(2)};
  return selector;
}

crypto::Sci sci_of(int site) {
  return crypto::Sci(0x0200000000000001U + (static_cast<std::uint64_t>(site) << 16));
}

}  // namespace

std::uint32_t host_address(std::uint32_t host) { return (172U << 24 | 16U << 16) + host; }

MemoryPort::MemoryPort(rte_mempool* pool, std::uint16_t queues, unsigned slots)
    : tx(make_ring(slots)) {
  static int made = 0;
  for (std::uint16_t queue = 0; queue < queues; ++queue) rx[queue] = make_ring(slots);
  const int port =
      rte_eth_from_rings(("memory" + std::to_string(made++)).c_str(), rx.data(), queues, &tx, 1, 0);
  if (port < 0) throw std::runtime_error("rte_eth_from_rings");
  id = static_cast<std::uint16_t>(port);
  const rte_eth_conf conf{};
  bool good = rte_eth_dev_configure(id, queues, 1, &conf) == 0 &&
              rte_eth_tx_queue_setup(id, 0, 0, 0, nullptr) == 0;
  for (std::uint16_t queue = 0; queue < queues; ++queue)
    good = good && rte_eth_rx_queue_setup(id, queue, 0, 0, nullptr, pool) == 0;
  if (!good || rte_eth_dev_start(id) != 0) throw std::runtime_error("the ring port does not start");
}

MemoryPort::~MemoryPort() {
  rte_eth_dev_stop(id);
  rte_eth_dev_close(id);
  for (rte_ring* ring : rx) rte_ring_free(ring);
  rte_ring_free(tx);
}

Site::Site(int number, const SiteSettings& settings, crypto::EngineFactory& factory,
           rte_mempool* pool)
    : inside(pool, settings.spread == Spread::own_queues ? settings.workers : 1, settings.slots),
      outside(pool, 1, settings.slots),
      egress(pipelines::Direction::egress, settings.spread),
      ingress(pipelines::Direction::ingress,
              settings.spread == Spread::alone ? Spread::alone : Spread::shared_queue),
      sas_(settings.sas),
      algorithm_(settings.algorithm),
      sad_([this](std::shared_ptr<void> old) { retired_.push_back(std::move(old)); }) {
  for (unsigned worker = 0; worker < settings.workers; ++worker)
    engines.push_back(need(factory.make()));
  const Stages stages = settings.stages;
  const int peer = 3 - number;
  const auto n = static_cast<std::uint8_t>(number);
  snapshot_.esp = stages.esp;
  snapshot_.macsec = stages.macsec;
  snapshot_.secure = true;
  snapshot_.inside = {{.id = inside.id, .mtu = kMtu, .mac = {2, 0xcc, 0, 0, n, 1}}};
  snapshot_.outside = {{.id = outside.id, .mtu = kMtu, .mac = {2, 0xbb, 0, 0, n, 1}}};
  if (stages.macsec) add_macsec(number, peer, settings.suite);
  if (stages.esp) add_esp(number, peer);
  for (LineDirection* direction : {&egress, &ingress}) {
    direction->pool = pool;
    direction->snapshot.store(&snapshot_, std::memory_order_release);
  }
  for (std::uint16_t worker = 0; worker < settings.workers; ++worker) {
    const std::uint16_t own = settings.spread == Spread::own_queues ? worker : std::uint16_t{0};
    const auto lane = [&](LineDirection& line, std::uint16_t queue) {
      return std::make_unique<Lane>(LaneSettings{.line = &line,
                                                 .receive = {{0, queue}},
                                                 .engine = engines[worker].get(),
                                                 .worker = worker});
    };
    egress_lanes.push_back(lane(egress, own));
    ingress_lanes.push_back(lane(ingress, 0));
  }
}

void Site::add_macsec(int number, int peer, CipherSuite suite) {
  const crypto::Algorithm algorithm = algorithm_of(suite);
  const auto key_from = [&](int site) {
    return need(engines[0]->make_key(algorithm, key_octets(algorithm, site)));
  };
  const auto ssci_of = [](int site) { return crypto::Ssci(static_cast<std::uint32_t>(site)); };
  secy_ = need(Secy::create({.sci = sci_of(number)}));
  snapshot_.outside[0].secy = secy_.get();
  need(secy_->install_transmit_sa(
      {.suite = suite, .ssci = ssci_of(number), .key = key_from(number)}));
  need(secy_->enable_transmit(crypto::An(0), true));
  need(secy_->set_encoding_sa(crypto::An(0)));
  need(secy_->create_receive_sc(sci_of(peer)));
  need(secy_->install_receive_sa(sci_of(peer),
                                 {.suite = suite, .ssci = ssci_of(peer), .key = key_from(peer)}));
  need(secy_->enable_receive(sci_of(peer), crypto::An(0), true));
}

void Site::add_esp(int number, int peer) {
  const auto n = static_cast<std::uint8_t>(number), p = static_cast<std::uint8_t>(peer);
  GatewayPort in, out;
  in.ip_mtu = kMtu;
  out.ip_mtu = snapshot_.macsec ? kMtu - kMacsecOctets : kMtu;
  in.addresses = {{inside_address(number, 1), 24}};
  out.addresses = {{outside_address(number), 24}};
  gateway_ = make_gateway({in}, {out}, {}, neighbours_);
  neighbours_.resolve(*neighbours_.get(Side::inside, 0, inside_address(number, 20)),
                      {2, 0xaa, 0, 0, n, 20});
  Adjacency* const hop = neighbours_.get(Side::outside, 0, outside_address(peer));
  neighbours_.resolve(*hop, {2, 0xbb, 0, 0, p, 1});
  if (number == 1) {
    add_outbound(*hop);
  } else {
    add_inbound();
  }
  snapshot_.sad = &sad_;
  snapshot_.spd = spd_.get();
  snapshot_.gateway = &gateway_;
}

crypto::Spi Site::spi_of(unsigned sa, unsigned generation) const {
  return crypto::Spi(0x1000U + generation * sas_ + sa);
}

// Of the tunnel from site 1 to site 2.
template <class Parameters>
Parameters Site::tunnel(unsigned sa, unsigned generation) {
  Parameters parameters;
  parameters.spi = spi_of(sa, generation);
  parameters.algorithm = algorithm_;
  parameters.key =
      need(engines[0]->make_key(algorithm_, key_octets(algorithm_, 1, generation * sas_ + sa)));
  parameters.source = outside_address(1);
  parameters.destination = outside_address(2);
  return parameters;
}

void Site::add_outbound(Adjacency& hop) {
  hop_ = &hop;
  std::vector<PolicyRule> rules(sas_);
  for (unsigned sa = 0; sa < sas_; ++sa) {
    slots_.push_back(sad_.make_slot());
    rules[sa].action = PolicyAction::protect;
    rules[sa].selector = selector_of(sa, sas_);
    rules[sa].slots = {slots_.back()};
    rekey_outbound(sa, 0);
  }
  spd_ = need(Spd::build(std::move(rules), {}));
}

void Site::add_inbound() {
  std::vector<PolicyRule> rules(sas_);
  for (unsigned sa = 0; sa < sas_; ++sa) {
    rules[sa].action = PolicyAction::protect;
    rules[sa].selector = selector_of(sa, sas_);
    add_inbound(sa, 0);
  }
  spd_ = need(Spd::build({}, std::move(rules)));
}

void Site::rekey_outbound(unsigned sa, unsigned generation) {
  auto made = need(sad_.make_outbound(tunnel<OutboundSaParameters>(sa, generation)));
  made->adjacency.store(hop_, std::memory_order_release);  // as the slow path does
  sad_.put(*slots_[sa], std::move(made));
}

void Site::add_inbound(unsigned sa, unsigned generation) {
  auto parameters = tunnel<InboundSaParameters>(sa, generation);
  parameters.selectors = {selector_of(sa, sas_)};
  need(sad_.add_inbound(std::move(parameters)));
}

void Site::remove_inbound(unsigned sa, unsigned generation) {
  if (!sad_.remove_inbound(spi_of(sa, generation)))
    throw std::runtime_error("there is no such inbound SA");
}

std::string drops_of(const Lane& lane) {
  std::string names;
  for (std::size_t r = 0; r < kDropReasons; ++r)
    if (lane.counters().drops[r].read() != 0)
      names.append(" ").append(info(static_cast<DropReason>(r)).name);
  return names;
}

}  // namespace sealwire::perf
