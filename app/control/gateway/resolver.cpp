#include "app/control/gateway/resolver.h"

#include <algorithm>
#include <cstring>

#include "pipelines/wire/arp.h"
#include "pipelines/wire/ethernet.h"
#include "pipelines/wire/icmp.h"
#include "pipelines/wire/udp.h"

namespace sealwire::control::gateway {

namespace wire = pipelines::wire;
using pipelines::Adjacency;
using pipelines::IpAddress;
using pipelines::PuntMark;
using pipelines::Side;

namespace {

constexpr std::uint64_t kAskEvery = 1000;       // milliseconds
constexpr std::uint8_t kAskTimes = 3;           // then the held packets are given up
constexpr std::uint64_t kForgetFailure = 5000;  // milliseconds until the next packet may start anew
constexpr std::uint64_t kFreshFor = 60'000;     // milliseconds until a neighbour is asked again
constexpr std::size_t kPendingMost = 512;       // addresses
constexpr std::size_t kHeldPerAddress = 64;     // packets
constexpr std::size_t kHeldMost = 512;          // packets, of all addresses

Side side_of(bool outside) { return outside ? Side::outside : Side::inside; }

Mac mac_at(const std::uint8_t* at) {
  Mac mac;
  std::memcpy(mac.data(), at, 6);
  return mac;
}

bool usable(const Mac& mac) { return (mac[0] & 1U) == 0 && mac != Mac{}; }

IpAddress ipv4_at(const std::uint8_t* at) {
  IpAddress address;
  std::memcpy(address.octets.data(), at, 4);
  return address;
}

IpAddress ipv6_at(const std::uint8_t* at) {
  IpAddress address;
  address.v6 = true;
  std::memcpy(address.octets.data(), at, 16);
  return address;
}

// RFC 4291 §2.7.1.
IpAddress solicited_node(const IpAddress& target) {
  IpAddress group{true, {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0}};
  std::copy_n(target.octets.begin() + 13, 3, group.octets.begin() + 13);
  return group;
}

Mac multicast_mac(const IpAddress& group) {
  return {0x33, 0x33, group.octets[12], group.octets[13], group.octets[14], group.octets[15]};
}

constexpr IpAddress kAllNodes{true, {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

// The link-layer address option of a type; null if there is none or the options are malformed.
const std::uint8_t* find_option(std::span<const std::uint8_t> options, std::uint8_t type,
                                bool& sound) {
  const std::uint8_t* found = nullptr;
  sound = true;
  while (!options.empty()) {
    std::size_t length = options.size() < 2 ? 0 : options[1] * std::size_t{8};
    if (length == 0 || length > options.size()) {
      sound = false;
      return nullptr;
    }
    if (options[0] == type && found == nullptr) found = options.data() + 2;
    options = options.subspan(length);
  }
  return found;
}

}  // namespace

Resolver::~Resolver() {
  for (auto& [key, pending] : pending_)
    for (Held& held : pending.held) rte_pktmbuf_free(held.mbuf);
}

bool Resolver::permanent(const Key& key) const {
  const Adjacency* entry = context_.settings.neighbours->find(key.side, key.port, key.address);
  return entry != nullptr && entry->permanent;
}

void Resolver::ask(const Key& key, const Mac* known) {
  const auto& ports = context_.ports(key.side);
  auto own = own_address(context_, key.side, key.port, key.address);
  if (key.port >= ports.size() || !own) return;
  if (!key.address.v6) {
    rte_mbuf* m = new_frame(context_, 14 + sizeof(wire::ArpPacket));
    if (m == nullptr) return;
    auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
    constexpr Mac kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    write_ethernet(frame, known != nullptr ? *known : kBroadcast, ports[key.port].mac,
                   wire::kEtherTypeArp);
    auto* arp = wire::view_at<wire::ArpPacket>(frame + 14);
    arp->hardware = wire::Be16(1);
    arp->protocol = wire::Be16(wire::kEtherTypeIpv4);
    arp->hardware_length = 6;
    arp->protocol_length = 4;
    arp->operation = wire::Be16(wire::kArpRequest);
    std::memcpy(arp->sender_mac, ports[key.port].mac, 6);
    std::memcpy(arp->sender_ip, own->octets.data(), 4);
    std::memcpy(arp->target_ip, key.address.octets.data(), 4);
    ++context_.counters.arp_requests;
    return send(context_, m, key.side, key.port);
  }
  rte_mbuf* m = new_frame(context_, 14 + 40 + sizeof(wire::NdMessage));
  if (m == nullptr) return;
  auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  const IpAddress to = known != nullptr ? key.address : solicited_node(key.address);
  write_ethernet(frame, known != nullptr ? *known : multicast_mac(to), ports[key.port].mac,
                 wire::kEtherTypeIpv6);
  write_ip(frame + 14, *own, to, wire::kProtocolIcmpv6, sizeof(wire::NdMessage), 255);
  auto* nd = wire::view_at<wire::NdMessage>(frame + 54);
  nd->type = wire::kIcmpv6NeighbourSolicitation;
  std::memcpy(nd->target, key.address.octets.data(), 16);
  nd->option_type = wire::kNdSourceLinkLayer;
  nd->option_length = 1;
  std::memcpy(nd->link_layer, ports[key.port].mac, 6);
  wire::set_ipv6_upper_checksum(frame + 14, frame + 54, sizeof(wire::NdMessage),
                                wire::kProtocolIcmpv6, nd->checksum);
  ++context_.counters.nd_solicitations;
  send(context_, m, key.side, key.port);
}

void Resolver::want(Side side, std::uint16_t port, const IpAddress& address, std::uint64_t now) {
  const Key key{side, port, address};
  const Adjacency* entry = context_.settings.neighbours->find(side, port, address);
  if ((entry != nullptr && entry->link.load() != 0) || pending_.contains(key) ||
      pending_.size() >= kPendingMost)
    return;
  Pending& pending = pending_[key];
  pending.asked = 1;
  pending.next = now + kAskEvery;
  ask(key, nullptr);
}

void Resolver::hold(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  const Key key{side_of(mark.to_outside), mark.port, mark.next_hop};
  const Adjacency* entry = context_.settings.neighbours->find(key.side, key.port, key.address);
  if (std::uint64_t link = entry == nullptr ? 0 : entry->link.load()) {  // answered meanwhile
    Pending now_known;
    now_known.held.push_back({m, mark});
    ++held_;
    Mac mac;
    std::memcpy(mac.data(), &link, 6);
    return release(now_known, mac);
  }
  want(key.side, key.port, key.address, now);
  auto found = pending_.find(key);
  if (found == pending_.end() || found->second.asked > kAskTimes ||
      found->second.held.size() >= kHeldPerAddress || held_ >= kHeldMost) {
    ++context_.counters.held_dropped;
    return rte_pktmbuf_free(m);
  }
  found->second.held.push_back({m, mark});
  ++held_;
  ++context_.counters.held;
}

void Resolver::release(Pending& pending, const Mac& mac) {
  for (Held& held : pending.held) {
    --held_;
    if (held.mark.to_outside) {
      receive_again(context_, held.mbuf, pipelines::Direction::egress, held.mark.in_port);
      continue;
    }
    // Ingress has done everything but the destination's MAC.
    std::memcpy(rte_pktmbuf_mtod(held.mbuf, void*), mac.data(), 6);
    send(context_, held.mbuf, Side::inside, held.mark.port);
  }
  pending.held.clear();
}

void Resolver::give_up(Pending& pending) {
  for (Held& held : pending.held) rte_pktmbuf_free(held.mbuf);
  held_ -= pending.held.size();
  context_.counters.held_dropped += pending.held.size();
  pending.held.clear();
}

void Resolver::learn(const Key& key, const Mac& mac, std::uint64_t now, bool only_known) {
  if (!usable(mac) || !on_link(context_, key.side, key.port, key.address) ||
      is_own_on(context_, key.side, key.port, key.address) || permanent(key))
    return;
  pipelines::Neighbours& table = *context_.settings.neighbours;
  const Adjacency* known = table.find(key.side, key.port, key.address);
  auto pending = pending_.find(key);
  if (only_known && pending == pending_.end() && (known == nullptr || known->link.load() == 0))
    return;
  Adjacency* entry = table.get(key.side, key.port, key.address);
  if (entry == nullptr) return;  // table full
  if (entry->link.load() == 0) ++context_.counters.resolved;
  table.resolve(*entry, mac);
  entry->updated = now;
  if (pending == pending_.end()) return;
  release(pending->second, mac);
  pending_.erase(pending);
}

void Resolver::arp(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  const auto packet = layer3(m);
  if (packet.size() < sizeof(wire::ArpPacket)) return;
  const auto* arp = wire::view_at<wire::ArpPacket>(packet.data());
  if (arp->hardware.value() != 1 || arp->protocol.value() != wire::kEtherTypeIpv4 ||
      arp->hardware_length != 6 || arp->protocol_length != 4)
    return;
  const Side side = side_of(mark.from_outside);
  const bool to_us = is_own_on(context_, side, mark.in_port, ipv4_at(arp->target_ip));
  // RFC 826: what is known is updated by any ARP packet, what is new only by one for us.
  learn({side, mark.in_port, ipv4_at(arp->sender_ip)}, mac_at(arp->sender_mac), now, !to_us);
  if (to_us && arp->operation.value() == wire::kArpRequest) answer_arp(mark, packet.data());
}

void Resolver::answer_arp(const PuntMark& mark, const std::uint8_t* request) {
  const auto* asked = wire::view_at<wire::ArpPacket>(request);
  const Mac asker = mac_at(asked->sender_mac);
  const Side side = side_of(mark.from_outside);
  const auto& port = context_.ports(side)[mark.in_port];
  rte_mbuf* m = usable(asker) ? new_frame(context_, 14 + sizeof(wire::ArpPacket)) : nullptr;
  if (m == nullptr) return;
  auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  write_ethernet(frame, asker, port.mac, wire::kEtherTypeArp);
  auto* reply = wire::view_at<wire::ArpPacket>(frame + 14);
  *reply = *asked;
  reply->operation = wire::Be16(wire::kArpReply);
  std::memcpy(reply->sender_mac, port.mac, 6);
  std::memcpy(reply->sender_ip, asked->target_ip, 4);
  std::memcpy(reply->target_mac, asker.data(), 6);
  std::memcpy(reply->target_ip, asked->sender_ip, 4);
  ++context_.counters.arp_replies;
  send(context_, m, side, mark.in_port);
}

void Resolver::advertise(Side side, std::uint16_t port, const IpAddress& own, const IpAddress& to,
                         const Mac& mac, std::uint32_t flags) {
  rte_mbuf* m = new_frame(context_, 14 + 40 + sizeof(wire::NdMessage));
  if (m == nullptr) return;
  auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  const auto& link = context_.ports(side)[port];
  write_ethernet(frame, mac, link.mac, wire::kEtherTypeIpv6);
  write_ip(frame + 14, own, to, wire::kProtocolIcmpv6, sizeof(wire::NdMessage), 255);
  auto* nd = wire::view_at<wire::NdMessage>(frame + 54);
  nd->type = wire::kIcmpv6NeighbourAdvertisement;
  nd->flags = wire::Be32(flags | wire::kNaRouter);
  std::memcpy(nd->target, own.octets.data(), 16);
  nd->option_type = wire::kNdTargetLinkLayer;
  nd->option_length = 1;
  std::memcpy(nd->link_layer, link.mac, 6);
  wire::set_ipv6_upper_checksum(frame + 14, frame + 54, sizeof(wire::NdMessage),
                                wire::kProtocolIcmpv6, nd->checksum);
  ++context_.counters.nd_advertisements;
  send(context_, m, side, port);
}

void Resolver::neighbour_discovery(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  const auto packet = layer3(m);
  auto parsed = wire::parse_ip(packet);
  if (!parsed || !parsed->v6 || parsed->upper_offset == 0 || parsed->ttl != 255) return;
  const auto length = static_cast<std::uint16_t>(parsed->total_length - parsed->upper_offset);
  const std::uint8_t* message = packet.data() + parsed->upper_offset;
  if (length < wire::kNdWithoutOption || message[1] != 0 ||
      !wire::ipv6_upper_checksum_good(packet.data(), message, length, wire::kProtocolIcmpv6))
    return;
  const Side side = side_of(mark.from_outside);
  const IpAddress target = ipv6_at(message + 8);
  const IpAddress source = source_address(packet.data(), true);
  const bool from_nobody = source == IpAddress{true, {}};
  bool sound;
  const std::span<const std::uint8_t> options{message + wire::kNdWithoutOption,
                                              length - wire::kNdWithoutOption};
  if (message[0] == wire::kIcmpv6NeighbourSolicitation) {
    const std::uint8_t* link = find_option(options, wire::kNdSourceLinkLayer, sound);
    if (!sound || !is_own_on(context_, side, mark.in_port, target)) return;
    // Duplicate address detection has no source: the answer goes to all (RFC 4861 §7.2.4).
    if (from_nobody)
      return advertise(side, mark.in_port, target, kAllNodes, multicast_mac(kAllNodes),
                       wire::kNaOverride);
    const Mac asker = mac_at(link != nullptr ? link : rte_pktmbuf_mtod(m, const std::uint8_t*) + 6);
    if (!usable(asker)) return;
    if (link != nullptr) learn({side, mark.in_port, source}, asker, now, false);
    advertise(side, mark.in_port, target, source, asker, wire::kNaSolicited | wire::kNaOverride);
  } else if (message[0] == wire::kIcmpv6NeighbourAdvertisement) {
    const std::uint8_t* link = find_option(options, wire::kNdTargetLinkLayer, sound);
    if (!sound || target.octets[0] == 0xff) return;
    const Mac mac = mac_at(link != nullptr ? link : rte_pktmbuf_mtod(m, const std::uint8_t*) + 6);
    learn({side, mark.in_port, target}, mac, now, true);
  }
}

void Resolver::announce() {
  for (Side side : {Side::inside, Side::outside}) {
    const auto& ports = context_.gateway_ports(side);
    for (std::uint16_t port = 0; port < ports.size() && port < context_.ports(side).size();
         ++port) {
      for (const pipelines::Prefix& own : ports[port].addresses) {
        if (own.address.v6) {
          advertise(side, port, own.address, kAllNodes, multicast_mac(kAllNodes),
                    wire::kNaOverride);
        } else {
          ask({side, port, own.address}, nullptr);  // a request for our own address: gratuitous
        }
      }
    }
  }
}

void Resolver::tick(std::uint64_t now) {
  for (auto it = pending_.begin(); it != pending_.end();) {
    auto& [key, pending] = *it;
    if (now < pending.next) {
      ++it;
    } else if (pending.asked > kAskTimes) {
      it = pending_.erase(it);  // a failure old enough to be tried again
    } else if (pending.asked == kAskTimes) {
      ++pending.asked;
      pending.next = now + kForgetFailure;
      ++context_.counters.unresolved;
      give_up(pending);
      if (const Adjacency* entry =
              context_.settings.neighbours->find(key.side, key.port, key.address);
          entry != nullptr && !entry->permanent)
        context_.settings.neighbours->forget(
            *context_.settings.neighbours->get(key.side, key.port, key.address));
      ++it;
    } else {
      ++pending.asked;
      pending.next = now + kAskEvery;
      ask(key, nullptr);
      ++it;
    }
  }
  // What was learnt long ago is asked for again, politely, to its own address.
  context_.settings.neighbours->each([&](Adjacency& entry) {
    const std::uint64_t link = entry.link.load(std::memory_order_relaxed);
    if (entry.permanent || link == 0 || now < entry.updated + kFreshFor) return;
    const Key key{entry.side, entry.port, entry.address};
    if (pending_.size() >= kPendingMost ||
        !pending_.try_emplace(key, Pending{now + kAskEvery, 1, {}}).second)
      return;
    Mac mac;
    std::memcpy(mac.data(), &link, 6);
    ask(key, &mac);
  });
}

// What the table has, and what is asked for without being in it.
std::vector<NeighbourStatus> Resolver::neighbours(std::uint64_t now) const {
  std::map<Key, NeighbourStatus> all;
  context_.settings.neighbours->each([&](Adjacency& entry) {
    NeighbourStatus& one = all[{entry.side, entry.port, entry.address}];
    one.state = NeighbourState::none;
    const std::uint64_t link = entry.link.load(std::memory_order_relaxed);
    if (link == 0) return;
    one.state = entry.permanent ? NeighbourState::permanent : NeighbourState::reachable;
    one.mac.emplace();
    std::memcpy(one.mac->data(), &link, 6);
    if (!entry.permanent) one.age = now - std::min(now, entry.updated);
  });
  for (const auto& [key, pending] : pending_) {
    NeighbourStatus& one = all[key];
    if (one.mac && one.state == NeighbourState::permanent) continue;  // became so while asked for
    one.state = pending.asked > kAskTimes ? NeighbourState::failed
                : one.mac                 ? NeighbourState::probe
                                          : NeighbourState::incomplete;
    one.held = pending.held.size();
  }
  std::vector<NeighbourStatus> list;
  for (auto& [key, one] : all) {
    one.side = key.side;
    one.port = key.port;
    one.address = key.address;
    list.push_back(one);
  }
  return list;
}

}  // namespace sealwire::control::gateway
