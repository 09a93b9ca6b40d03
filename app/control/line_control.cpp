#include "app/control/line_control.h"

#include <fmt/format.h>
#include <rte_debug.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <iterator>
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

bool has_an(const std::vector<config::MacsecSa>& sas, std::uint8_t an) {
  return std::any_of(sas.begin(), sas.end(), [an](const auto& sa) { return sa.an == an; });
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
  Change change;
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
      if (auto added = add_to(change, port, std::move(wanted)); !added) return added;
    }
  }
  if (line_.is_gateway()) {
    sad_ = std::make_unique<pipelines::Sad>(
        [publisher = &context_.publisher](std::shared_ptr<void> object) {
          publisher->retire(std::move(object));
        });
    std::vector<config::EspSa> wanted;
    for (const config::EspSa& sa : line_.sas) wanted.push_back(clone(sa));
    if (auto added = add_to(change, std::move(wanted)); !added) return added;
    auto built = build_spd(line_.policies);
    if (!built) return tl::unexpected(built.error());
    change.spd = std::move(*built);
  }
  auto spd = change.spd;
  if (auto made = make(std::move(change)); !made) return made;
  publish(std::move(spd), sad_ ? build_gateway(line_.gateway) : nullptr, true);
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
  replaced_ = published_;
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

const LineControl::Sa* LineControl::find_sa(const std::string& name) const {
  const auto found = sas_.find(name);
  return found == sas_.end() ? nullptr : &found->second;
}

LineControl::Sa* LineControl::find_sa(const std::string& name) {
  return const_cast<Sa*>(std::as_const(*this).find_sa(name));
}

tl::unexpected<Error> LineControl::spi_in_use(const config::EspSa& sa) const {
  return fail("SW-CTL-010",
              fmt::format("{}.esp.sas.{}: SPI {} is in use", where(), sa.name, spi_text(sa.spi)),
              "choose another SPI");
}

// Whether these may take their places beside the SAs that stay; `removed` do not.
Result<void> LineControl::check_sas(const std::vector<config::EspSa>& sas,
                                    const std::vector<std::string>& removed) const {
  std::set<std::uint32_t> spis;
  for (const config::EspSa& sa : sas) {
    const Sa* const old = find_sa(sa.name);
    if (old != nullptr && old->config.direction != sa.direction) {
      return fail("SW-CTL-011",
                  fmt::format("{}.esp.sas.{}: its direction cannot change", where(), sa.name),
                  "add an SA with another name");
    }
    if (sa.direction != config::SaDirection::in) continue;
    const bool taken = std::any_of(sas_.begin(), sas_.end(), [&](const auto& entry) {
      return entry.second.inbound != nullptr && entry.second.config.spi == sa.spi &&
             entry.first != sa.name &&
             std::find(removed.begin(), removed.end(), entry.first) == removed.end();
    });
    if (!spis.insert(sa.spi).second || taken) return spi_in_use(sa);
  }
  return {};
}

Result<void> LineControl::add_to(Change& change, std::vector<config::EspSa> sas) {
  if (auto checked = check_sas(sas, change.removed); !checked) return checked;
  // Receive first: the peer may answer to a new SA at once.
  std::stable_partition(sas.begin(), sas.end(), [](const config::EspSa& sa) {
    return sa.direction == config::SaDirection::in;
  });
  for (config::EspSa& config : sas) {
    Change::NewSa one;
    const std::string place = fmt::format("{}.esp.sas.{}", where(), config.name);
    const auto wrong = [&place](const Error& error) {
      return fail(error.id, place + ": " + error.message, error.remedy);
    };
    const bool out = config.direction == config::SaDirection::out;
    crypto::KeyUse use;
    use.seal = out;
    use.open = !out;
    auto key = context_.engines.control_instance(line_.engine)
                   .make_key(config.algorithm, config.key.bytes, use);
    if (!key) return wrong(key.error());
    one.sa.cookie = next_cookie_++;
    if (out) {
      auto parameters = outbound_parameters(config);
      parameters.cookie = one.sa.cookie;
      parameters.key = std::move(*key);
      parameters.sn_limit = 0;  // until numbers are granted
      auto made = sad_->make_outbound(std::move(parameters));
      if (!made) return wrong(made.error());
      one.out = std::move(*made);
      NumberKeeper::Want want;
      want.what = place;
      want.space =
          NonceSpace::esp(config.algorithm, config.key.bytes.view(), config.salt.bytes.view());
      want.first = config.next_sn;
      want.end = config.esn ? kEnd64 : kEnd32;
      one.number = change.wants.size();
      change.wants.push_back(std::move(want));
    } else {
      auto parameters = inbound_parameters(config);
      parameters.cookie = one.sa.cookie;
      parameters.key = std::move(*key);
      auto made = sad_->make_inbound(std::move(parameters));
      if (!made) return wrong(made.error());
      one.in = std::move(*made);
    }
    change.done.push_back(
        fmt::format("{}: {}", place, find_sa(config.name) != nullptr ? "replaced" : "added"));
    one.sa.config = std::move(config);
    change.sas.push_back(std::move(one));
  }
  return {};
}

Result<void> LineControl::reserve(NumberKeeper& numbers, std::span<Change> changes) {
  std::vector<NumberKeeper::Want> wants;
  for (Change& change : changes) {
    std::move(change.wants.begin(), change.wants.end(), std::back_inserter(wants));
  }
  auto grants = numbers.reserve(wants);
  if (!grants) return tl::unexpected(grants.error());
  auto next = grants->begin();
  for (Change& change : changes) {
    for (std::size_t i = 0; i < change.wants.size(); ++i) change.grants.push_back(*next++);
    change.wants.clear();
  }
  return {};
}

Result<void> LineControl::make(Change change) {
  if (auto reserved = reserve(context_.numbers, {&change, 1}); !reserved) return reserved;
  commit(std::move(change));
  return {};
}

void LineControl::install_sas(Change& change) {
  for (Change::NewSa& fresh : change.sas) {
    const std::string name = fresh.sa.config.name;
    Sa* const old = find_sa(name);
    Sa sa = std::move(fresh.sa);
    sa.installed = Clock::now();
    if (fresh.out) {
      const NumberKeeper::Grant& grant = change.grants[fresh.number];
      fresh.out->runtime.next_sn.store(grant.first, std::memory_order_relaxed);
      pipelines::raise_limit(*fresh.out, grant.limit, grant.low);
      auto& slot = slots_[name];
      if (slot == nullptr) slot = sad_->make_slot();
      sa.slot = slot;
      std::erase_if(leaving_, [&sa](const Leaving& one) { return one.slot == sa.slot; });
      pipelines::OutboundSa* const out = sad_->put(*slot, std::move(fresh.out));
      if (old != nullptr && old->numbers) context_.numbers.forget(*old->numbers);
      // Valid until the SA is replaced or removed: both end the tracking first.
      sa.numbers = context_.numbers.track(
          grant, {[out] { return out->runtime.next_sn.load(std::memory_order_relaxed); },
                  [out](std::uint64_t limit, std::uint64_t low) {
                    pipelines::raise_limit(*out, limit, low);
                  }});
    } else {
      const std::uint32_t spi = sa.config.spi;
      sa.inbound = sad_->put(std::move(fresh.in));
      std::erase_if(lingering_, [spi](const Lingering& one) { return one.sa.config.spi == spi; });
      if (old != nullptr && old->config.spi != spi) {
        // What the peer sealed with the old SA is still on its way.
        lingering_.push_back({std::move(*old), Clock::now() + kLinger});
      }
    }
    note_sa(sa.config);
    sas_.insert_or_assign(name, std::move(sa));
  }
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
    if (replaced_.expired()) {
      sad_->remove(*sa.slot);
    } else {
      leaving_.push_back({sa.slot, replaced_});
    }
  } else if (sad_->find_inbound(sa.config.spi) == sa.inbound) {  // not under another name by now
    sad_->remove_inbound(crypto::Spi(sa.config.spi));
  }
}

Result<void> LineControl::add_sas(std::vector<config::EspSa> sas) {
  for (const config::EspSa& sa : sas) {
    if (find_sa(sa.name) != nullptr) {
      return fail("SW-CTL-010",
                  fmt::format("{}.esp.sas.{}: there is one already", where(), sa.name),
                  "use 'sa replace', or another name");
    }
    // A replaced SA that still decrypts is no reason to take its SPI from it.
    if (sad_ && sa.direction == config::SaDirection::in && sad_->find_inbound(sa.spi) != nullptr) {
      return spi_in_use(sa);
    }
  }
  return replace_sas(std::move(sas));
}

Result<void> LineControl::replace_sas(std::vector<config::EspSa> sas) {
  if (!sad_) return fail("SW-CTL-013", where() + " has no esp stage");
  Change change;
  if (auto added = add_to(change, std::move(sas)); !added) return added;
  return make(std::move(change));
}

Result<void> LineControl::remove_sa(const std::string& name) {
  if (find_sa(name) == nullptr) {
    return fail("SW-CTL-011", fmt::format("{}: no SA {}", where(), name),
                "'sealwire show sa' lists them");
  }
  forget_sa(name);
  follow_nat_t_ports();
  return {};
}

void LineControl::forget_sa(const std::string& name) {
  retire_sa(sas_.at(name));
  sas_.erase(name);
  std::erase_if(line_.sas, [&name](const config::EspSa& one) { return one.name == name; });
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
  const std::uint16_t overhead = line_.macsec ? line_.macsec->overhead() : std::uint16_t{0};
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
  // Those that the configuration names no more are asked for again like any other.
  neighbours_->each([&](pipelines::Adjacency& entry) {
    const bool named =
        std::any_of(gateway.neighbours.begin(), gateway.neighbours.end(), [&](const auto& one) {
          return find_port(one.port) == std::pair(entry.side, entry.port) &&
                 convert(one.address) == entry.address;
        });
    if (named || !entry.permanent) return;
    entry.permanent = false;
    neighbours_->forget(entry);
  });
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

Result<void> LineControl::add_to(Change& change, std::size_t port, config::SecY wanted) {
  const config::Macsec& macsec = *line_.macsec;
  const config::SecY& current = macsec.secys.at(port);
  pipelines::Secy& secy = *secys_[port];
  const crypto::Sci own = secy.settings().sci;
  const std::string place = where() + ".macsec";
  const auto wrong = [](const std::string& what, const Error& error) {
    return fail(error.id, what + ": " + error.message, error.remedy);
  };
  Change::NewSecy fresh;
  const pipelines::CipherSuite suite = convert(macsec.suite);
  crypto::Engine& engine = context_.engines.control_instance(line_.engine);
  const auto holds = [](const std::vector<config::MacsecSa>& sas, const config::MacsecSa& sa) {
    return std::any_of(sas.begin(), sas.end(), [&sa](const auto& x) { return same(x, sa); });
  };
  for (const config::MacsecSa& sa : wanted.tx) {
    if (holds(current.tx, sa)) continue;
    const std::string what = fmt::format("{}.tx.sas.{}", place, sa.an);
    crypto::KeyUse use;
    use.open = false;
    auto key = engine.make_key(pipelines::algorithm_of(suite), sa.key.bytes, use);
    if (!key) return wrong(what, key.error());
    pipelines::TransmitSaSettings settings;
    settings.an = crypto::An(sa.an);
    settings.suite = suite;
    settings.confidentiality = macsec.confidentiality;
    settings.confidentiality_offset = macsec.confidentiality_offset;
    settings.salt = xpn_salt(sa);
    settings.ssci = crypto::Ssci(sa.ssci);
    settings.key = std::move(*key);
    auto made = secy.make_transmit_sa(std::move(settings));
    if (!made) return wrong(what, made.error());
    NumberKeeper::Want want;
    want.what = what;
    want.space = is_xpn(suite) ? NonceSpace::macsec_xpn(sa.key.bytes.view(), crypto::Ssci(sa.ssci),
                                                        sa.salt.bytes.view())
                               : NonceSpace::macsec(sa.key.bytes.view(), own);
    want.first = sa.next_pn;
    want.end = is_xpn(suite) ? kEnd64 : kEnd32;
    fresh.tx.push_back({std::move(*made), change.wants.size()});
    change.wants.push_back(std::move(want));
  }
  if (!wanted.tx.empty() && !has_an(wanted.tx, wanted.encoding_sa)) {
    return fail("SW-SCY-015", fmt::format("{}.tx: no SA has AN {}", place, wanted.encoding_sa));
  }
  if (wanted.rx.size() > pipelines::Secy::kMaxReceiveScs) {
    return fail("SW-SCY-021", fmt::format("{}.rx: {} channels, there is room for {}", place,
                                          wanted.rx.size(), pipelines::Secy::kMaxReceiveScs));
  }
  std::set<std::uint64_t> scis{own.value()};
  for (const config::ReceiveChannel& channel : wanted.rx) {
    if (!scis.insert(channel.sci).second) {
      return fail("SW-SCY-020", fmt::format("{}.rx.{}: the SCI is in use", place, channel.name),
                  "each channel of a link has an SCI of its own");
    }
    const auto old = std::find_if(current.rx.begin(), current.rx.end(),
                                  [&channel](const auto& x) { return x.sci == channel.sci; });
    for (const config::MacsecSa& sa : channel.sas) {
      if (old != current.rx.end() && holds(old->sas, sa)) continue;
      const std::string what = fmt::format("{}.rx.{}.sas.{}", place, channel.name, sa.an);
      crypto::KeyUse use;
      use.seal = false;
      auto key = engine.make_key(pipelines::algorithm_of(suite), sa.key.bytes, use);
      if (!key) return wrong(what, key.error());
      pipelines::ReceiveSaSettings settings;
      settings.an = crypto::An(sa.an);
      settings.suite = suite;
      settings.confidentiality_offset = macsec.confidentiality_offset;
      settings.salt = xpn_salt(sa);
      settings.ssci = crypto::Ssci(sa.ssci);
      settings.lowest_pn = crypto::Pn(sa.next_pn);
      settings.key = std::move(*key);
      auto made = secy.make_receive_sa(crypto::Sci(channel.sci), std::move(settings));
      if (!made) return wrong(what, made.error());
      fresh.rx.push_back(std::move(*made));
    }
  }
  fresh.config = std::move(wanted);
  change.done.push_back(
      fmt::format("{}: static SAs of {} changed", place, place_.outside[port].name));
  change.secys.insert_or_assign(port, std::move(fresh));
  return {};
}

void LineControl::install_secy(std::size_t port, Change& change) {
  Change::NewSecy& fresh = change.secys.at(port);
  pipelines::Secy& secy = *secys_[port];
  config::SecY& current = line_.macsec->secys.at(port);
  Publisher& publisher = context_.publisher;
  const auto forget_numbers = [&](crypto::An an) {
    const auto numbers = secy_numbers_.find({port, an.value()});
    if (numbers == secy_numbers_.end()) return;
    context_.numbers.forget(numbers->second);
    secy_numbers_.erase(numbers);
  };
  // Receive before transmit: the peer may use what it sees at once. Channels that go make room for
  // those that come.
  for (const config::ReceiveChannel& old : current.rx) {
    const auto wanted = std::find_if(fresh.config.rx.begin(), fresh.config.rx.end(),
                                     [&old](const auto& rx) { return rx.sci == old.sci; });
    if (wanted == fresh.config.rx.end()) {
      publisher.retire(std::make_shared<pipelines::Secy::RetiredReceiveSc>(
          secy.retire_receive_sc(crypto::Sci(old.sci))));
      continue;
    }
    for (const config::MacsecSa& sa : old.sas) {
      if (!has_an(wanted->sas, sa.an)) {
        publisher.retire_unique(secy.retire_receive_sa(crypto::Sci(old.sci), crypto::An(sa.an)));
      }
    }
  }
  for (const config::ReceiveChannel& channel : fresh.config.rx) {
    const bool known = std::any_of(current.rx.begin(), current.rx.end(),
                                   [&channel](const auto& old) { return old.sci == channel.sci; });
    // add_to() has seen that there is room and that the SCI is free.
    if (!known) RTE_VERIFY(secy.create_receive_sc(crypto::Sci(channel.sci)));
  }
  for (auto& sa : fresh.rx) publisher.retire_unique(secy.put_receive_sa(std::move(sa), true));
  for (Change::NewSecy::Tx& tx : fresh.tx) {
    const crypto::An an(tx.sa->an);
    const NumberKeeper::Grant& grant = change.grants[tx.number];
    tx.sa->next_pn.store(grant.first, std::memory_order_relaxed);
    tx.sa->limit.store(grant.limit, std::memory_order_relaxed);
    forget_numbers(an);
    publisher.retire_unique(secy.put_transmit_sa(std::move(tx.sa), true));
    pipelines::Secy* const one = &secy;
    secy_numbers_[{port, an.value()}] = context_.numbers.track(
        grant,
        {[one, an] {
           const auto status = one->transmit_sa(an);
           return status ? status->next_pn : 0;
         },
         [one, an](std::uint64_t limit, std::uint64_t) { (void)one->set_limit(an, limit); }});
  }
  if (!fresh.config.tx.empty()) {
    RTE_VERIFY(secy.set_encoding_sa(crypto::An(fresh.config.encoding_sa)));
  }
  for (const config::MacsecSa& old : current.tx) {
    if (has_an(fresh.config.tx, old.an)) continue;
    forget_numbers(crypto::An(old.an));
    publisher.retire_unique(secy.retire_transmit_sa(crypto::An(old.an)));
  }
  current.tx = std::move(fresh.config.tx);
  current.rx = std::move(fresh.config.rx);
  current.encoding_sa = fresh.config.encoding_sa;
}

Result<void> LineControl::set_secy(std::size_t port, config::SecY wanted) {
  if (port >= secys_.size()) return fail("SW-CTL-014", where() + " has no SecY on that port");
  if (mka_of(*line_.macsec, line_.macsec->secys[port]) != nullptr) {
    return fail("SW-CTL-015", where() + ".macsec: its SAs belong to MKA",
                "change the key chain and reload");
  }
  Change change;
  if (auto added = add_to(change, port, std::move(wanted)); !added) return added;
  return make(std::move(change));
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

Result<LineControl::Change> LineControl::prepare(config::Line wanted) {
  if (const auto restart = needs_restart(wanted); !restart.empty()) {
    return fail("SW-CTL-020",
                fmt::format("{} cannot change while running", fmt::join(restart, ", ")),
                "restart sealwired");
  }
  Change change;
  for (const auto& [name, sa] : sas_) {
    if (config::find(wanted.sas, name) == nullptr) change.removed.push_back(name);
  }
  std::vector<config::EspSa> changed;
  for (config::EspSa& sa : wanted.sas) {
    const Sa* const old = find_sa(sa.name);
    if (old == nullptr || !same(old->config, sa)) changed.push_back(std::move(sa));
  }
  if (auto added = add_to(change, std::move(changed)); !added) return tl::unexpected(added.error());
  for (std::size_t port = 0; port < secys_.size(); ++port) {
    config::SecY& one = wanted.macsec->secys[port];
    if (mka_of(*wanted.macsec, one) != nullptr || same(one, line_.macsec->secys[port])) continue;
    if (auto added = add_to(change, port, clone(one)); !added) return tl::unexpected(added.error());
  }
  if (sad_ && !same_policies(wanted.policies, line_.policies)) {
    auto spd = build_spd(wanted.policies);
    if (!spd) {
      return fail(spd.error().id, where() + ".esp.policies: " + spd.error().message,
                  spd.error().remedy);
    }
    change.spd = std::move(*spd);
  }
  change.line = std::move(wanted);
  return change;
}

std::vector<std::string> LineControl::commit(Change&& change) {
  install_sas(change);
  for (const auto& [port, secy] : change.secys) install_secy(port, change);
  if (change.line) install_rest(change, std::move(*change.line));
  for (const std::string& name : change.removed) {
    forget_sa(name);
    change.done.push_back(fmt::format("{}.esp.sas.{}: removed", where(), name));
  }
  if (!change.sas.empty() || !change.removed.empty()) follow_nat_t_ports();
  return std::move(change.done);
}

void LineControl::install_rest(Change& change, config::Line&& wanted) {
  if (line_.macsec) {
    config::Macsec &now = *line_.macsec, &next = *wanted.macsec;
    if (next.protect_frames != now.protect_frames || next.validate_frames != now.validate_frames) {
      now.protect_frames = next.protect_frames;
      now.validate_frames = next.validate_frames;
      for (auto& secy : secys_) {
        secy->set_protect_frames(next.protect_frames);
        secy->set_validate_frames(convert(next.validate_frames));
      }
      change.done.push_back(where() + ".macsec: protect-frames, validate-frames changed");
    }
    now.mka = std::move(next.mka);
    for (std::size_t port = 0; port < secys_.size(); ++port) {
      now.secys[port].mka = std::move(next.secys[port].mka);
    }
  }
  line_.cleartext = wanted.cleartext;
  const bool gateway = sad_ && !same(wanted.gateway, line_.gateway);
  if (!change.spd && !gateway) return;
  publish(change.spd ? std::move(change.spd) : published_->spd,
          gateway ? build_gateway(wanted.gateway) : published_->gateway,
          published_->snapshot.secure);
  if (!same_policies(wanted.policies, line_.policies)) {
    line_.policies = std::move(wanted.policies);
    change.done.push_back(where() + ".esp.policies: changed");
  }
  if (gateway) {
    line_.gateway = std::move(wanted.gateway);
    change.done.push_back(where() + ".gateway: changed");
  }
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
    forget_sa(name);
  }
  std::erase_if(leaving_, [this](const Leaving& one) {
    if (!one.replaced.expired()) return false;
    sad_->remove(*one.slot);
    return true;
  });
  const std::size_t lingered = lingering_.size();
  for (auto at = lingering_.begin(); at != lingering_.end();) {
    if (at->until > now) {
      ++at;
      continue;
    }
    retire_sa(at->sa);
    at = lingering_.erase(at);
  }
  if (!dead.empty() || lingering_.size() != lingered) follow_nat_t_ports();
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
