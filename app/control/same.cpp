#include "app/control/same.h"

#include <tuple>

namespace sealwire::control {
namespace {

auto plain(const config::EspSa& sa) {
  return std::tie(sa.name, sa.direction, sa.spi, sa.algorithm, sa.source, sa.destination, sa.esn,
                  sa.replay_window, sa.udp, sa.dscp, sa.ecn, sa.df, sa.ttl, sa.path_mtu,
                  sa.lifetime, sa.selectors);
}

auto plain(const config::Mka& mka) {
  return std::tie(mka.priority, mka.version, mka.suites, mka.policy, mka.delay_protect,
                  mka.icv_indicator, mka.cak_padding, mka.hello, mka.bounded_hello, mka.life,
                  mka.retire, mka.eapol_destination, mka.eapol_ethertype, mka.rekey_pn,
                  mka.rekey_interval);
}

}  // namespace

bool same(const config::Secret& a, const config::Secret& b) { return a.bytes.equal(b.bytes); }

bool same(const config::EspSa& a, const config::EspSa& b) {
  return plain(a) == plain(b) && same(a.key, b.key) && same(a.salt, b.salt);
}

bool same(const config::Policy& a, const config::Policy& b) {
  return std::tie(a.name, a.action, a.direction, a.selector, a.sa, a.inbound_sa, a.cleartext) ==
         std::tie(b.name, b.action, b.direction, b.selector, b.sa, b.inbound_sa, b.cleartext);
}

bool same(const config::MacsecSa& a, const config::MacsecSa& b) {
  return a.an == b.an && a.ssci == b.ssci && a.next_pn == b.next_pn && same(a.key, b.key) &&
         same(a.salt, b.salt);
}

bool same(const config::ReceiveChannel& a, const config::ReceiveChannel& b) {
  return a.name == b.name && a.sci == b.sci && same(a.sas, b.sas);
}

bool same(const config::SecY& a, const config::SecY& b) {
  return a.port == b.port && a.sci == b.sci && a.encoding_sa == b.encoding_sa && same(a.tx, b.tx) &&
         same(a.rx, b.rx);
}

bool same(const config::MkaKey& a, const config::MkaKey& b) {
  return std::tie(a.name, a.ckn, a.start, a.end) == std::tie(b.name, b.ckn, b.start, b.end) &&
         same(a.cak, b.cak);
}

bool same_but_keys(const config::Mka& a, const config::Mka& b) { return plain(a) == plain(b); }

bool same(const config::Mka& a, const config::Mka& b) {
  return same_but_keys(a, b) && same(a.keys, b.keys) && same(a.fallback, b.fallback);
}

bool same(const config::Gateway& a, const config::Gateway& b) {
  const auto addresses = [](const config::PortAddresses& x) {
    return std::tie(x.port, x.addresses);
  };
  const auto route = [](const config::Route& x) { return std::tie(x.destination, x.via, x.port); };
  const auto neighbour = [](const config::Neighbour& x) {
    return std::tie(x.address, x.mac, x.port);
  };
  const auto equal = [](const auto& x, const auto& y, const auto& key) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                      [&key](const auto& p, const auto& q) { return key(p) == key(q); });
  };
  return equal(a.addresses, b.addresses, addresses) && equal(a.routes, b.routes, route) &&
         equal(a.neighbours, b.neighbours, neighbour);
}

bool same(const config::Port& a, const config::Port& b) {
  return std::tie(a.name, a.device, a.mtu, a.rx_queues, a.rx_descriptors, a.tx_descriptors, a.mac,
                  a.promiscuous) == std::tie(b.name, b.device, b.mtu, b.rx_queues, b.rx_descriptors,
                                             b.tx_descriptors, b.mac, b.promiscuous);
}

config::Secret clone(const config::Secret& secret) { return {secret.source, secret.bytes.clone()}; }

config::EspSa clone(const config::EspSa& sa) {
  config::EspSa copy;
  copy.name = sa.name;
  copy.where = sa.where;
  copy.direction = sa.direction;
  copy.spi = sa.spi;
  copy.algorithm = sa.algorithm;
  copy.key = clone(sa.key);
  copy.salt = clone(sa.salt);
  copy.source = sa.source;
  copy.destination = sa.destination;
  copy.esn = sa.esn;
  copy.replay_window = sa.replay_window;
  copy.udp = sa.udp;
  copy.dscp = sa.dscp;
  copy.ecn = sa.ecn;
  copy.df = sa.df;
  copy.ttl = sa.ttl;
  copy.path_mtu = sa.path_mtu;
  copy.lifetime = sa.lifetime;
  copy.selectors = sa.selectors;
  return copy;
}

config::MacsecSa clone(const config::MacsecSa& sa) {
  config::MacsecSa copy;
  copy.an = sa.an;
  copy.where = sa.where;
  copy.key = clone(sa.key);
  copy.salt = clone(sa.salt);
  copy.ssci = sa.ssci;
  copy.next_pn = sa.next_pn;
  return copy;
}

config::SecY clone(const config::SecY& secy) {
  config::SecY copy;
  copy.port = secy.port;
  copy.where = secy.where;
  copy.sci = secy.sci;
  copy.encoding_sa = secy.encoding_sa;
  for (const config::MacsecSa& sa : secy.tx) copy.tx.push_back(clone(sa));
  for (const config::ReceiveChannel& rx : secy.rx) {
    config::ReceiveChannel channel;
    channel.name = rx.name;
    channel.where = rx.where;
    channel.sci = rx.sci;
    for (const config::MacsecSa& sa : rx.sas) channel.sas.push_back(clone(sa));
    copy.rx.push_back(std::move(channel));
  }
  return copy;
}

}  // namespace sealwire::control
