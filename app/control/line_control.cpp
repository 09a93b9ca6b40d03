#include "app/control/line_control.h"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <set>
#include <utility>

#include "app/control/convert.h"
#include "config/diff.h"

namespace sealwire::control {
namespace {

using config::clone;
using config::same;
using pipelines::Direction;
using pipelines::Side;

constexpr unsigned kRingSize = 512;
constexpr auto kLinger = std::chrono::seconds(30);  // a replaced inbound SA still decrypts
constexpr std::uint64_t kEnd32 = 1ULL << 32;
constexpr std::uint64_t kEnd64 = ~0ULL;

// SecTAG with or without SCI, and ICV (802.1AE 9.3).
std::uint16_t macsec_overhead(const config::Macsec& macsec) {
  return static_cast<std::uint16_t>((macsec.include_sci ? 16 : 8) + 16);
}

std::vector<pipelines::LinePort> line_ports(const std::vector<OpenPort>& ports) {
  std::vector<pipelines::LinePort> all;
  for (const OpenPort& port : ports) {
    pipelines::LinePort one{};
    one.id = port.id;
    one.mtu = port.mtu;
    std::copy(port.mac.begin(), port.mac.end(), one.mac);
    all.push_back(one);
  }
  return all;
}

void free_mbufs(rte_ring* ring) {
  void* object = nullptr;
  while (rte_ring_dequeue(ring, &object) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(object));
}

// But for the keys: the KaY takes other ones over without a lost frame.
bool same_mka(const std::optional<config::Mka>& a, const std::optional<config::Mka>& b) {
  const auto settings = [](const config::Mka& mka) {
    config::Mka copy = clone(mka);
    copy.keys.clear();
    copy.fallback.reset();
    return copy;
  };
  return a.has_value() == b.has_value() && (!a || same(settings(*a), settings(*b)));
}

bool same_policies(const std::vector<config::Policy>& a, const std::vector<config::Policy>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return same(x, y); });
}

template <class T>
crypto::nonce::XpnSalt xpn_salt(const T& sa) {
  crypto::nonce::XpnSalt salt{};
  const auto octets = sa.salt.bytes.view();
  std::copy_n(octets.begin(), std::min(octets.size(), salt.size()), salt.begin());
  return salt;
}

}  // namespace

LineControl::LineControl(config::Line& line, Place place, LineContext context)
    : line_(line), place_(std::move(place)), context_(context) {}

Result<std::unique_ptr<LineControl>> LineControl::create(config::Line& line, Place place,
                                                         LineContext context) {
  std::unique_ptr<LineControl> control(new LineControl(line, std::move(place), context));
  if (auto built = control->build(); !built) return tl::unexpected(built.error());
  return control;
}

LineControl::~LineControl() {
  for (auto& [name, sa] : sas_) {
    if (sa.numbers) context_.numbers.forget(*sa.numbers);
  }
  for (const auto& [place, numbers] : secy_numbers_) context_.numbers.forget(numbers);
  sad_.reset();  // retires into the publisher
  for (rte_ring* ring : rings_) {
    free_mbufs(ring);
    rte_ring_free(ring);
  }
}

Result<void> LineControl::make_rings() {
  for (const Direction d : {Direction::egress, Direction::ingress}) {
    const pipelines::Spread spread = d == Direction::egress ? place_.egress : place_.ingress;
    auto& made = d == Direction::egress ? egress_ : ingress_;
    made = std::make_unique<pipelines::LineDirection>(d, spread);
    made->pool = place_.pool;
    const char letter = d == Direction::egress ? 'e' : 'i';
    const std::string name = fmt::format("{}{}", letter, place_.id);
    // Who may be in it at once: see pipelines/line.h.
    const unsigned inject_flags =
        RING_F_SP_ENQ | (spread == pipelines::Spread::own_queues ? 0U : unsigned{RING_F_SC_DEQ});
    const unsigned punt_flags =
        RING_F_SC_DEQ | (spread == pipelines::Spread::alone ? unsigned{RING_F_SP_ENQ} : 0U);
    made->inject =
        rte_ring_create(("inject-" + name).c_str(), kRingSize, SOCKET_ID_ANY, inject_flags);
    if (made->inject != nullptr) rings_.push_back(made->inject);
    made->punt = rte_ring_create(("punt-" + name).c_str(), kRingSize, SOCKET_ID_ANY, punt_flags);
    if (made->punt != nullptr) rings_.push_back(made->punt);
    if (made->inject == nullptr || made->punt == nullptr) {
      return fail("SW-CTL-004", where() + ": rings: " + rte_strerror(rte_errno),
                  "raise system.memory");
    }
  }
  return {};
}

Result<void> LineControl::build() {
  if (auto made = make_rings(); !made) return made;
  neighbours_ = std::make_unique<pipelines::Neighbours>();
  if (line_.macsec) {
    for (std::size_t port = 0; port < place_.outside.size(); ++port) {
      const config::SecY& config = line_.macsec->secys.at(port);
      auto secy =
          pipelines::Secy::create(secy_settings(*line_.macsec, config, place_.outside[port].mac));
      if (!secy) return tl::unexpected(secy.error());
      secys_.push_back(std::move(*secy));
      if (mka_of(*line_.macsec, config) != nullptr) continue;
      config::SecY wanted = clone(config);
      line_.macsec->secys[port].tx.clear();  // install_secy() puts them back once they are in use
      line_.macsec->secys[port].rx.clear();
      auto prepared = prepare_secy(port, std::move(wanted));
      if (!prepared) return tl::unexpected(prepared.error());
      if (auto installed = install_secy(port, std::move(*prepared)); !installed) return installed;
    }
  }
  std::shared_ptr<const pipelines::Spd> spd;
  std::shared_ptr<const pipelines::Gateway> gateway;
  if (line_.is_gateway()) {
    sad_ = std::make_unique<pipelines::Sad>(
        [publisher = &context_.publisher](std::shared_ptr<void> object) {
          publisher->retire(std::move(object));
        });
    std::vector<config::EspSa> wanted;
    for (const config::EspSa& sa : line_.sas) wanted.push_back(clone(sa));
    auto prepared = prepare(std::move(wanted));
    if (!prepared) return tl::unexpected(prepared.error());
    if (auto installed = install(std::move(*prepared)); !installed) return installed;
    auto built = build_spd(line_.policies);
    if (!built) return tl::unexpected(built.error());
    spd = std::move(*built);
    gateway = build_gateway(line_.gateway);
  }
  publish(std::move(spd), std::move(gateway), true);
  return {};
}

void LineControl::publish(std::shared_ptr<const pipelines::Spd> spd,
                          std::shared_ptr<const pipelines::Gateway> gateway, bool secure) {
  auto next = std::make_shared<Published>();
  next->spd = std::move(spd);
  next->gateway = std::move(gateway);
  pipelines::LineSnapshot& snapshot = next->snapshot;
  snapshot.id = place_.id;
  snapshot.esp = line_.has(config::Stage::esp);
  snapshot.macsec = line_.has(config::Stage::macsec);
  snapshot.secure = secure;
  snapshot.inside = line_ports(place_.inside);
  snapshot.outside = line_ports(place_.outside);
  for (std::size_t i = 0; i < secys_.size(); ++i) snapshot.outside[i].secy = secys_[i].get();
  snapshot.sad = sad_.get();
  snapshot.spd = next->spd.get();
  snapshot.gateway = next->gateway.get();
  egress_->snapshot.store(&snapshot, std::memory_order_release);
  ingress_->snapshot.store(&snapshot, std::memory_order_release);
  if (follow_) follow_(snapshot);
  context_.publisher.retire(std::move(published_));
  published_ = std::move(next);
}

void LineControl::on_publish(std::function<void(const pipelines::LineSnapshot&)> follow) {
  follow_ = std::move(follow);
  if (follow_) follow_(published_->snapshot);
}

void LineControl::set_secure(bool secure) {
  if (published_->snapshot.secure == secure) return;
  publish(published_->spd, published_->gateway, secure);
}

// --- ESP ---------------------------------------------------------------------------------------

LineControl::Sa* LineControl::find_sa(const std::string& name) {
  const auto found = sas_.find(name);
  return found == sas_.end() ? nullptr : &found->second;
}

Result<std::vector<LineControl::Prepared>> LineControl::prepare(std::vector<config::EspSa> sas) {
  std::vector<Prepared> all;
  std::vector<NumberKeeper::Want> wants;
  std::vector<std::size_t> outbound;
  for (config::EspSa& config : sas) {
    Prepared one;
    const std::string place = fmt::format("{}.esp.sas.{}", where(), config.name);
    const bool out = config.direction == config::SaDirection::out;
    crypto::KeyUse use;
    use.seal = out;
    use.open = !out;
    auto key = context_.engines.control_instance(line_.engine)
                   .make_key(config.algorithm, config.key.bytes, use);
    if (!key) {
      return fail(key.error().id, place + ": " + key.error().message, key.error().remedy);
    }
    one.sa.cookie = next_cookie_++;
    if (out) {
      one.out = outbound_parameters(config);
      one.out->cookie = one.sa.cookie;
      one.out->key = std::move(*key);
      NumberKeeper::Want want;
      want.space =
          NonceSpace::esp(config.algorithm, config.key.bytes.view(), config.salt.bytes.view());
      want.end = config.esn ? kEnd64 : kEnd32;
      wants.push_back(std::move(want));
      outbound.push_back(all.size());
    } else {
      one.in = inbound_parameters(config);
      one.in->cookie = one.sa.cookie;
      one.in->key = std::move(*key);
    }
    one.sa.config = std::move(config);
    all.push_back(std::move(one));
  }
  auto grants = context_.numbers.reserve(wants);
  if (!grants) {
    return fail(grants.error().id, where() + ".esp.sas: " + grants.error().message,
                grants.error().remedy);
  }
  for (std::size_t i = 0; i < outbound.size(); ++i) {
    Prepared& one = all[outbound[i]];
    one.grant = (*grants)[i];
    one.out->next_sn = crypto::SeqNo(one.grant.first);
    one.out->sn_limit = one.grant.limit;
    one.out->sn_low_water = one.grant.low;
  }
  for (const Prepared& one : all) {
    if (auto good = one.out ? pipelines::Sad::check(*one.out) : pipelines::Sad::check(*one.in);
        !good) {
      return fail(
          good.error().id,
          fmt::format("{}.esp.sas.{}: {}", where(), one.sa.config.name, good.error().message),
          good.error().remedy);
    }
  }
  return all;
}

Result<void> LineControl::install(Prepared&& prepared) {
  const std::string name = prepared.sa.config.name;
  Sa* const old = find_sa(name);
  Sa sa = std::move(prepared.sa);
  sa.installed = Clock::now();
  if (prepared.out) {
    auto& slot = slots_[name];
    if (slot == nullptr) slot = sad_->make_slot();
    sa.slot = slot;
    auto installed = sad_->install(*slot, std::move(*prepared.out));
    if (!installed) return tl::unexpected(installed.error());
    pipelines::OutboundSa* const out = *installed;
    if (old != nullptr && old->numbers) context_.numbers.forget(*old->numbers);
    // Valid until the SA is replaced or removed: both end the tracking first.
    sa.numbers = context_.numbers.track(
        prepared.grant, {[out] { return out->runtime.next_sn.load(std::memory_order_relaxed); },
                         [out](std::uint64_t limit, std::uint64_t low) {
                           pipelines::raise_limit(*out, limit, low);
                         }});
    note_sa(sa.config);
    sas_.insert_or_assign(name, std::move(sa));
    return {};
  }
  const bool same_spi = old != nullptr && old->config.spi == sa.config.spi;
  const std::uint32_t spi = sa.config.spi;
  auto installed = sad_->find_inbound(spi) != nullptr
                       ? sad_->replace_inbound(std::move(*prepared.in))
                       : sad_->add_inbound(std::move(*prepared.in));
  if (!installed) return tl::unexpected(installed.error());
  std::erase_if(lingering_, [spi](const Lingering& one) { return one.sa.config.spi == spi; });
  sa.inbound = *installed;
  if (old != nullptr && !same_spi) {
    // What the peer sealed with the old SA is still on its way.
    lingering_.push_back({std::move(*old), Clock::now() + kLinger});
  }
  note_sa(sa.config);
  sas_.insert_or_assign(name, std::move(sa));
  return {};
}

// The running document says what runs.
void LineControl::note_sa(const config::EspSa& sa) {
  for (config::EspSa& one : line_.sas) {
    if (one.name != sa.name) continue;
    one = clone(sa);
    return;
  }
  line_.sas.push_back(clone(sa));
}

void LineControl::retire_sa(Sa& sa) {
  if (sa.slot != nullptr) {
    if (sa.numbers) context_.numbers.forget(*sa.numbers);
    sad_->remove(*sa.slot);
  } else {
    sad_->remove_inbound(crypto::Spi(sa.config.spi));
  }
}

Result<void> LineControl::add_sas(std::vector<config::EspSa> sas) {
  if (!sad_) return fail("SW-CTL-013", where() + " has no esp stage");
  for (const config::EspSa& sa : sas) {
    if (find_sa(sa.name) != nullptr) {
      return fail("SW-CTL-010",
                  fmt::format("{}.esp.sas.{}: there is one already", where(), sa.name),
                  "use 'sa replace', or another name");
    }
    if (sa.direction == config::SaDirection::in && sad_->find_inbound(sa.spi) != nullptr) {
      return fail(
          "SW-CTL-010",
          fmt::format("{}.esp.sas.{}: SPI {} is in use", where(), sa.name, spi_text(sa.spi)),
          "choose another SPI");
    }
  }
  return replace_sas(std::move(sas));
}

Result<std::vector<LineControl::Prepared>> LineControl::prepare_replacing(
    std::vector<config::EspSa> sas) {
  if (!sad_) return fail("SW-CTL-013", where() + " has no esp stage");
  std::set<std::uint32_t> spis;
  for (const config::EspSa& sa : sas) {
    const Sa* const old = find_sa(sa.name);
    if (old != nullptr && old->config.direction != sa.direction) {
      return fail("SW-CTL-011",
                  fmt::format("{}.esp.sas.{}: its direction cannot change", where(), sa.name),
                  "add an SA with another name");
    }
    if (sa.direction != config::SaDirection::in) continue;
    const bool own = (old != nullptr && old->config.spi == sa.spi) ||
                     std::any_of(lingering_.begin(), lingering_.end(), [&sa](const Lingering& one) {
                       return one.sa.config.spi == sa.spi;
                     });
    if (!spis.insert(sa.spi).second || (!own && sad_->find_inbound(sa.spi) != nullptr)) {
      return fail(
          "SW-CTL-010",
          fmt::format("{}.esp.sas.{}: SPI {} is in use", where(), sa.name, spi_text(sa.spi)),
          "choose another SPI");
    }
  }
  // Receive first: the peer may answer to a new SA at once.
  std::stable_partition(sas.begin(), sas.end(), [](const config::EspSa& sa) {
    return sa.direction == config::SaDirection::in;
  });
  return prepare(std::move(sas));
}

Result<void> LineControl::install(std::vector<Prepared>&& prepared) {
  for (Prepared& one : prepared) {
    if (auto installed = install(std::move(one)); !installed) return installed;
  }
  follow_nat_t_ports();
  return {};
}

Result<void> LineControl::replace_sas(std::vector<config::EspSa> sas) {
  auto prepared = prepare_replacing(std::move(sas));
  if (!prepared) return tl::unexpected(prepared.error());
  return install(std::move(*prepared));
}

Result<void> LineControl::remove_sa(const std::string& name) {
  Sa* const sa = find_sa(name);
  if (sa == nullptr) {
    return fail("SW-CTL-011", fmt::format("{}: no SA {}", where(), name),
                "'sealwire show sa' lists them");
  }
  retire_sa(*sa);
  sas_.erase(name);
  std::erase_if(line_.sas, [&name](const config::EspSa& one) { return one.name == name; });
  follow_nat_t_ports();
  return {};
}

Result<std::shared_ptr<const pipelines::Spd>> LineControl::build_spd(
    const std::vector<config::Policy>& policies) {
  std::vector<pipelines::PolicyRule> outbound, inbound;
  std::uint64_t cookie = 0;
  for (const config::Policy& policy : policies) {
    ++cookie;
    pipelines::PolicyRule rule;
    rule.cookie = cookie;
    rule.action = policy.action == config::Action::protect  ? pipelines::PolicyAction::protect
                  : policy.action == config::Action::bypass ? pipelines::PolicyAction::bypass
                                                            : pipelines::PolicyAction::discard;
    if (policy.direction != config::PolicyDirection::in) {
      pipelines::PolicyRule out = rule;
      out.selector = convert(policy.selector);
      if (policy.action == config::Action::protect) {
        for (const std::string& name : policy.sa) {
          auto& slot = slots_[name];
          if (slot == nullptr) slot = sad_->make_slot();
          out.slots.push_back(slot);
        }
      }
      outbound.push_back(std::move(out));
    }
    if (policy.direction != config::PolicyDirection::out) {
      rule.selector =
          convert(policy.direction == config::PolicyDirection::both ? mirrored(policy.selector)
                                                                    : policy.selector);
      inbound.push_back(std::move(rule));
    }
  }
  auto built = pipelines::Spd::build(std::move(outbound), std::move(inbound));
  if (!built) return tl::unexpected(built.error());
  return std::shared_ptr<const pipelines::Spd>(std::move(*built));
}

std::shared_ptr<const pipelines::Gateway> LineControl::build_gateway(
    const config::Gateway& gateway) {
  const auto find_port = [this](const std::string& name) {
    for (const Side side : {Side::inside, Side::outside}) {
      const auto& ports = side == Side::inside ? place_.inside : place_.outside;
      for (std::size_t i = 0; i < ports.size(); ++i) {
        if (ports[i].name == name) return std::pair(side, static_cast<std::uint16_t>(i));
      }
    }
    return std::pair(Side::inside, std::uint16_t{0});
  };
  std::vector<pipelines::GatewayPort> inside, outside;
  for (const OpenPort& port : place_.inside) inside.push_back({port.mtu, {}});
  const std::uint16_t overhead = line_.macsec ? macsec_overhead(*line_.macsec) : std::uint16_t{0};
  for (const OpenPort& port : place_.outside) {
    outside.push_back({static_cast<std::uint16_t>(port.mtu - overhead), {}});
  }
  for (const config::PortAddresses& entry : gateway.addresses) {
    const auto [side, index] = find_port(entry.port);
    auto& port = (side == Side::inside ? inside : outside)[index];
    for (const config::Prefix& address : entry.addresses)
      port.addresses.push_back(convert(address));
  }
  std::vector<pipelines::Route> routes;
  for (const config::Route& route : gateway.routes) {
    const auto [side, index] = find_port(route.port);
    routes.push_back({convert(route.destination), convert(route.via), side, index});
  }
  for (const config::Neighbour& neighbour : gateway.neighbours) {
    const auto [side, index] = find_port(neighbour.port);
    if (auto* entry = neighbours_->get(side, index, convert(neighbour.address))) {
      entry->permanent = true;
      neighbours_->resolve(*entry, neighbour.mac.octets);
    }
  }
  auto made = std::make_shared<pipelines::Gateway>(pipelines::make_gateway(
      std::move(inside), std::move(outside), std::move(routes), *neighbours_));
  made->nat_t_ports = nat_t_ports();
  return made;
}

// Our UDP ports that carry ESP: the registered one and those that SAs name, lingering ones
// included.
std::vector<std::uint16_t> LineControl::nat_t_ports() const {
  std::set<std::uint16_t> ports{4500};
  const auto take = [&ports](const config::EspSa& sa) {
    if (!sa.udp) return;
    ports.insert(sa.direction == config::SaDirection::in ? sa.udp->destination_port
                                                         : sa.udp->source_port);
  };
  for (const auto& [name, sa] : sas_) take(sa.config);
  for (const Lingering& one : lingering_) take(one.sa.config);
  return {ports.begin(), ports.end()};
}

void LineControl::follow_nat_t_ports() {
  if (published_ == nullptr || published_->gateway->nat_t_ports == nat_t_ports()) return;
  publish(published_->spd, build_gateway(line_.gateway), published_->snapshot.secure);
}

Result<void> LineControl::set_policies(std::vector<config::Policy> policies) {
  if (!sad_) return fail("SW-CTL-013", where() + " has no esp stage");
  for (const config::Policy& policy : policies) {
    for (const auto* names : {&policy.sa, &policy.inbound_sa}) {
      for (const std::string& name : *names) {
        if (find_sa(name) == nullptr) {
          return fail("SW-CTL-011",
                      fmt::format("{}.esp.policies.{}: no SA {}", where(), policy.name, name),
                      "add the SA first");
        }
      }
    }
  }
  auto spd = build_spd(policies);
  if (!spd) return tl::unexpected(spd.error());
  line_.policies = std::move(policies);
  publish(std::move(*spd), published_->gateway, published_->snapshot.secure);
  return {};
}

// --- MACsec ------------------------------------------------------------------------------------

Result<LineControl::PreparedSecy> LineControl::prepare_secy(std::size_t port, config::SecY wanted) {
  const config::Macsec& macsec = *line_.macsec;
  const config::SecY& current = macsec.secys.at(port);
  const crypto::Sci own = secys_[port]->settings().sci;
  const std::string place = where() + ".macsec";
  PreparedSecy prepared;
  const pipelines::CipherSuite suite = convert(macsec.suite);
  crypto::Engine& engine = context_.engines.control_instance(line_.engine);
  const auto current_tx = [&current](std::uint8_t an) -> const config::MacsecSa* {
    for (const config::MacsecSa& sa : current.tx) {
      if (sa.an == an) return &sa;
    }
    return nullptr;
  };
  std::vector<NumberKeeper::Want> wants;
  for (const config::MacsecSa& sa : wanted.tx) {
    if (const auto* old = current_tx(sa.an); old != nullptr && same(*old, sa)) continue;
    PreparedSecy::Tx tx;
    crypto::KeyUse use;
    use.open = false;
    auto key = engine.make_key(pipelines::algorithm_of(suite), sa.key.bytes, use);
    if (!key) {
      return fail(key.error().id,
                  fmt::format("{}.tx.sas.{}: {}", place, sa.an, key.error().message),
                  key.error().remedy);
    }
    tx.settings.an = crypto::An(sa.an);
    tx.settings.suite = suite;
    tx.settings.confidentiality = macsec.confidentiality;
    tx.settings.confidentiality_offset = macsec.confidentiality_offset;
    tx.settings.salt = xpn_salt(sa);
    tx.settings.ssci = crypto::Ssci(sa.ssci);
    tx.settings.key = std::move(*key);
    NumberKeeper::Want want;
    want.space = is_xpn(suite) ? NonceSpace::macsec_xpn(sa.key.bytes.view(), crypto::Ssci(sa.ssci),
                                                        sa.salt.bytes.view())
                               : NonceSpace::macsec(sa.key.bytes.view(), own);
    want.first = sa.next_pn;
    want.end = is_xpn(suite) ? kEnd64 : kEnd32;
    wants.push_back(std::move(want));
    prepared.tx.push_back(std::move(tx));
  }
  for (const config::ReceiveChannel& channel : wanted.rx) {
    PreparedSecy::Rx rx;
    rx.sci = crypto::Sci(channel.sci);
    for (const config::MacsecSa& sa : channel.sas) {
      const auto kept =
          std::any_of(current.rx.begin(), current.rx.end(), [&](const config::ReceiveChannel& old) {
            return old.sci == channel.sci &&
                   std::any_of(old.sas.begin(), old.sas.end(),
                               [&sa](const config::MacsecSa& x) { return same(x, sa); });
          });
      if (kept) continue;
      pipelines::ReceiveSaSettings settings;
      crypto::KeyUse use;
      use.seal = false;
      auto key = engine.make_key(pipelines::algorithm_of(suite), sa.key.bytes, use);
      if (!key) {
        return fail(
            key.error().id,
            fmt::format("{}.rx.{}.sas.{}: {}", place, channel.name, sa.an, key.error().message),
            key.error().remedy);
      }
      settings.an = crypto::An(sa.an);
      settings.suite = suite;
      settings.confidentiality_offset = macsec.confidentiality_offset;
      settings.salt = xpn_salt(sa);
      settings.ssci = crypto::Ssci(sa.ssci);
      settings.lowest_pn = crypto::Pn(sa.next_pn);
      settings.key = std::move(*key);
      rx.sas.push_back(std::move(settings));
    }
    prepared.rx.push_back(std::move(rx));
  }
  auto grants = context_.numbers.reserve(wants);
  if (!grants) {
    return fail(grants.error().id, fmt::format("{}.tx: {}", place, grants.error().message),
                grants.error().remedy);
  }
  for (std::size_t i = 0; i < grants->size(); ++i) {
    prepared.tx[i].grant = (*grants)[i];
    prepared.tx[i].settings.next_pn = crypto::Pn((*grants)[i].first);
    prepared.tx[i].settings.limit = (*grants)[i].limit;
  }
  prepared.config = std::move(wanted);
  return prepared;
}

Result<void> LineControl::install_secy(std::size_t port, PreparedSecy&& prepared) {
  pipelines::Secy& secy = *secys_[port];
  config::SecY& current = line_.macsec->secys.at(port);
  Publisher& publisher = context_.publisher;
  const auto retire_tx = [&](crypto::An an) {
    const auto numbers = secy_numbers_.find({port, an.value()});
    if (numbers != secy_numbers_.end()) {
      context_.numbers.forget(numbers->second);
      secy_numbers_.erase(numbers);
    }
    publisher.retire_unique(secy.retire_transmit_sa(an));
  };
  // Receive before transmit: the peer may use what it sees at once.
  for (PreparedSecy::Rx& rx : prepared.rx) {
    const bool known = std::any_of(current.rx.begin(), current.rx.end(),
                                   [&rx](const auto& old) { return old.sci == rx.sci.value(); });
    if (!known) {
      if (auto made = secy.create_receive_sc(rx.sci); !made) return made;
    }
    for (pipelines::ReceiveSaSettings& sa : rx.sas) {
      const crypto::An an = sa.an;
      publisher.retire_unique(secy.retire_receive_sa(rx.sci, an));
      if (auto installed = secy.install_receive_sa(rx.sci, std::move(sa)); !installed)
        return installed;
      if (auto enabled = secy.enable_receive(rx.sci, an, true); !enabled) return enabled;
    }
  }
  for (PreparedSecy::Tx& tx : prepared.tx) {
    const crypto::An an = tx.settings.an;
    retire_tx(an);
    if (auto installed = secy.install_transmit_sa(std::move(tx.settings)); !installed)
      return installed;
    pipelines::Secy* const one = &secy;
    secy_numbers_[{port, an.value()}] = context_.numbers.track(
        tx.grant,
        {[one, an] {
           const auto status = one->transmit_sa(an);
           return status ? status->next_pn : 0;
         },
         [one, an](std::uint64_t limit, std::uint64_t) { (void)one->set_limit(an, limit); }});
    if (auto enabled = secy.enable_transmit(an, true); !enabled) return enabled;
  }
  if (!prepared.config.tx.empty()) {
    if (auto set = secy.set_encoding_sa(crypto::An(prepared.config.encoding_sa)); !set) return set;
  }
  // Now what is not wanted any more.
  for (const config::MacsecSa& old : current.tx) {
    const bool kept = std::any_of(prepared.config.tx.begin(), prepared.config.tx.end(),
                                  [&old](const auto& sa) { return sa.an == old.an; });
    if (!kept) retire_tx(crypto::An(old.an));
  }
  for (const config::ReceiveChannel& old : current.rx) {
    const auto wanted = std::find_if(prepared.config.rx.begin(), prepared.config.rx.end(),
                                     [&old](const auto& rx) { return rx.sci == old.sci; });
    if (wanted == prepared.config.rx.end()) {
      auto retired = std::make_shared<pipelines::Secy::RetiredReceiveSc>(
          secy.retire_receive_sc(crypto::Sci(old.sci)));
      publisher.retire(std::move(retired));
      continue;
    }
    for (const config::MacsecSa& sa : old.sas) {
      const bool kept = std::any_of(wanted->sas.begin(), wanted->sas.end(),
                                    [&sa](const auto& x) { return x.an == sa.an; });
      if (!kept) {
        publisher.retire_unique(secy.retire_receive_sa(crypto::Sci(old.sci), crypto::An(sa.an)));
      }
    }
  }
  current.tx = std::move(prepared.config.tx);
  current.rx = std::move(prepared.config.rx);
  current.encoding_sa = prepared.config.encoding_sa;
  return {};
}

Result<void> LineControl::set_secy(std::size_t port, config::SecY wanted) {
  if (port >= secys_.size()) return fail("SW-CTL-014", where() + " has no SecY on that port");
  if (mka_of(*line_.macsec, line_.macsec->secys[port]) != nullptr) {
    return fail("SW-CTL-015", where() + ".macsec: its SAs belong to MKA",
                "change the key chain and reload");
  }
  auto prepared = prepare_secy(port, std::move(wanted));
  if (!prepared) return tl::unexpected(prepared.error());
  return install_secy(port, std::move(*prepared));
}

// --- reload ------------------------------------------------------------------------------------

std::vector<std::string> LineControl::needs_restart(const config::Line& wanted) const {
  std::vector<std::string> all;
  const auto note = [&](bool equal, const char* what) {
    if (!equal) all.push_back(where() + "." + what);
  };
  note(wanted.stages == line_.stages, "stages");
  note(wanted.inside == line_.inside, "inside");
  note(wanted.outside == line_.outside, "outside");
  note(wanted.engine == line_.engine, "engine");
  note(wanted.workers == line_.workers, "workers");
  if (wanted.macsec && line_.macsec) {
    const config::Macsec &a = *wanted.macsec, &b = *line_.macsec;
    note(a.suite == b.suite, "macsec.suite");
    note(a.confidentiality == b.confidentiality, "macsec.confidentiality");
    note(a.confidentiality_offset == b.confidentiality_offset, "macsec.confidentiality-offset");
    note(a.include_sci == b.include_sci, "macsec.include-sci");
    note(a.use_es == b.use_es, "macsec.use-es");
    note(a.use_scb == b.use_scb, "macsec.use-scb");
    note(a.replay_protect == b.replay_protect, "macsec.replay-protect");
    note(a.replay_window == b.replay_window, "macsec.replay-window");
    note(a.duplicate_bitmap == b.duplicate_bitmap, "macsec.duplicate-bitmap");
    note(a.vlan_in_clear == b.vlan_in_clear, "macsec.vlan-in-clear");
    note(same_mka(a.mka, b.mka), "macsec.mka");
    for (std::size_t i = 0; i < std::min(a.secys.size(), b.secys.size()); ++i) {
      note(a.secys[i].sci == b.secys[i].sci, "macsec.sci");
      note(same_mka(a.secys[i].mka, b.secys[i].mka), "macsec.mka");
    }
  }
  return all;
}

Result<std::unique_ptr<LineControl::Change>> LineControl::plan(config::Line wanted) {
  if (const auto restart = needs_restart(wanted); !restart.empty()) {
    return fail("SW-CTL-020",
                fmt::format("{} cannot change while running", fmt::join(restart, ", ")),
                "restart sealwired");
  }
  auto change = std::make_unique<Change>();
  change->secys.resize(secys_.size());
  for (std::size_t port = 0; port < secys_.size(); ++port) {
    config::SecY& one = wanted.macsec->secys[port];
    if (mka_of(*wanted.macsec, one) != nullptr || same(one, line_.macsec->secys[port])) continue;
    auto prepared = prepare_secy(port, clone(one));
    if (!prepared) return tl::unexpected(prepared.error());
    change->secys[port] = std::move(*prepared);
  }
  for (const auto& [name, sa] : sas_) {
    if (config::find(wanted.sas, name) == nullptr) change->removed.push_back(name);
  }
  std::vector<config::EspSa> changed;
  for (config::EspSa& sa : wanted.sas) {
    const Sa* const old = find_sa(sa.name);
    if (old != nullptr && same(old->config, sa)) continue;
    change->done.push_back(
        fmt::format("{}.esp.sas.{}: {}", where(), sa.name, old ? "replaced" : "added"));
    changed.push_back(std::move(sa));
  }
  if (!changed.empty()) {
    auto prepared = prepare_replacing(std::move(changed));
    if (!prepared) return tl::unexpected(prepared.error());
    change->sas = std::move(*prepared);
  }
  if (sad_) {
    change->policies = !same_policies(wanted.policies, line_.policies);
    change->gateway = !same(wanted.gateway, line_.gateway);
    if (change->policies || change->gateway) {
      auto spd = build_spd(wanted.policies);
      if (!spd) return tl::unexpected(spd.error());
      change->spd = std::move(*spd);
    }
  }
  change->wanted = std::move(wanted);
  return change;
}

Result<void> LineControl::commit(Change& change, std::vector<std::string>& done) {
  config::Line& wanted = change.wanted;
  if (auto installed = install(std::move(change.sas)); !installed) return installed;
  done.insert(done.end(), change.done.begin(), change.done.end());
  for (std::size_t port = 0; port < secys_.size(); ++port) {
    if (!change.secys[port]) continue;
    if (auto installed = install_secy(port, std::move(*change.secys[port])); !installed)
      return installed;
    done.push_back(
        fmt::format("{}.macsec: static SAs of {} changed", where(), place_.outside[port].name));
  }
  if (line_.macsec) {
    if (wanted.macsec->protect_frames != line_.macsec->protect_frames ||
        wanted.macsec->validate_frames != line_.macsec->validate_frames) {
      line_.macsec->protect_frames = wanted.macsec->protect_frames;
      line_.macsec->validate_frames = wanted.macsec->validate_frames;
      for (auto& secy : secys_) {
        secy->set_protect_frames(wanted.macsec->protect_frames);
        secy->set_validate_frames(convert(wanted.macsec->validate_frames));
      }
      done.push_back(where() + ".macsec: protect-frames, validate-frames changed");
    }
    line_.macsec->mka = std::move(wanted.macsec->mka);
    for (std::size_t port = 0; port < secys_.size(); ++port) {
      line_.macsec->secys[port].mka = std::move(wanted.macsec->secys[port].mka);
    }
  }
  line_.cleartext = wanted.cleartext;
  if (change.spd) {
    publish(std::move(change.spd),
            change.gateway ? build_gateway(wanted.gateway) : published_->gateway,
            published_->snapshot.secure);
    line_.policies = std::move(wanted.policies);
    line_.gateway = std::move(wanted.gateway);
    if (change.policies) done.push_back(where() + ".esp.policies: changed");
    if (change.gateway) done.push_back(where() + ".gateway: changed");
  }
  for (const std::string& name : change.removed) {
    if (auto gone = remove_sa(name); !gone) return gone;
    done.push_back(fmt::format("{}.esp.sas.{}: removed", where(), name));
  }
  return {};
}

// --- time and events ---------------------------------------------------------------------------

void LineControl::tick(Clock::time_point now, const std::function<void(const std::string&)>& say) {
  if (!sad_) return;
  while (const auto event = sad_->poll_event()) {
    const auto found = std::find_if(sas_.begin(), sas_.end(), [&event](const auto& entry) {
      return entry.second.cookie == event->cookie;
    });
    if (found == sas_.end()) continue;
    const std::string name = fmt::format("{}.esp.sas.{}", where(), found->first);
    switch (event->kind) {
      case pipelines::SaEventKind::soft_octets:
      case pipelines::SaEventKind::soft_packets:
        say(name + ": soft lifetime reached, rekey it");
        break;
      case pipelines::SaEventKind::hard:
        say(name + ": hard lifetime reached, it is not used any more");
        break;
      case pipelines::SaEventKind::sn_exhausted:
        say(name + ": sequence numbers used up, its packets are dropped");
        break;
      case pipelines::SaEventKind::sn_low:
        break;  // the NumberKeeper looks by itself
    }
  }
  std::vector<std::string> dead;
  for (auto& [name, sa] : sas_) {
    const auto age = std::chrono::duration_cast<config::Milliseconds>(now - sa.installed);
    const config::Lifetime& lifetime = sa.config.lifetime;
    if (lifetime.soft_time.count() != 0 && age >= lifetime.soft_time && !sa.soft_said) {
      sa.soft_said = true;
      say(fmt::format("{}.esp.sas.{}: soft lifetime reached, rekey it", where(), name));
    }
    if (lifetime.hard_time.count() != 0 && age >= lifetime.hard_time) dead.push_back(name);
  }
  for (const std::string& name : dead) {
    say(fmt::format("{}.esp.sas.{}: hard lifetime reached, removed", where(), name));
    (void)remove_sa(name);
  }
  for (auto at = lingering_.begin(); at != lingering_.end();) {
    if (at->until > now) {
      ++at;
      continue;
    }
    retire_sa(at->sa);
    at = lingering_.erase(at);
  }
  follow_nat_t_ports();
}

std::string LineControl::SaEntry::state() const {
  if (lingering) return "retiring";
  if (slot != nullptr) return slot->current.load(std::memory_order_relaxed) ? "in use" : "none";
  return inbound->spent.load(std::memory_order_relaxed) ? "spent" : "in use";
}

std::vector<LineControl::SaEntry> LineControl::sas() const {
  std::vector<SaEntry> all;
  for (const auto& [name, sa] : sas_) {
    all.push_back({&sa.config, sa.cookie, sa.slot, sa.inbound, false, sa.installed});
  }
  for (const Lingering& one : lingering_) {
    all.push_back(
        {&one.sa.config, one.sa.cookie, one.sa.slot, one.sa.inbound, true, one.sa.installed});
  }
  return all;
}

}  // namespace sealwire::control
