// ARP (RFC 826) and IPv6 Neighbour Discovery (RFC 4861): answers for our addresses, finds those of
// others, and keeps what it found fresh.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "app/control/gateway/outlet.h"

namespace sealwire::control::gateway {

class Resolver {
 public:
  explicit Resolver(Context& context) : context_(context) {}
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Starts to resolve, unless that is under way or done.
  void want(pipelines::Side side, std::uint16_t port, const pipelines::IpAddress& address,
            std::uint64_t now);
  /// Keeps the packet until `mark.next_hop` is resolved, then sends it on. Takes the mbuf.
  void hold(rte_mbuf* m, const pipelines::PuntMark& mark, std::uint64_t now);
  /// An ARP frame, and an ICMPv6 packet of Neighbour Discovery. The frame stays the caller's.
  void arp(rte_mbuf* m, const pipelines::PuntMark& mark, std::uint64_t now);
  void neighbour_discovery(rte_mbuf* m, const pipelines::PuntMark& mark, std::uint64_t now);
  /// Tells the link about our addresses: gratuitous ARP, unsolicited advertisement.
  void announce();
  void tick(std::uint64_t now);
  std::vector<NeighbourStatus> neighbours(std::uint64_t now) const;

 private:
  struct Key {
    pipelines::Side side;
    std::uint16_t port;
    pipelines::IpAddress address;
    auto operator<=>(const Key&) const = default;
  };
  struct Held {
    rte_mbuf* mbuf;
    pipelines::PuntMark mark;
  };
  struct Pending {
    std::uint64_t next = 0;  // when to ask again, or to forget that nobody answered
    std::uint8_t asked = 0;
    std::vector<Held> held;
  };

  void ask(const Key& key, const Mac* known);
  void learn(const Key& key, const Mac& mac, std::uint64_t now, bool only_known);
  void release(Pending& pending, const Mac& mac);
  void give_up(Pending& pending);
  void answer_arp(const pipelines::PuntMark& mark, const std::uint8_t* request);
  void advertise(pipelines::Side side, std::uint16_t port, const pipelines::IpAddress& own,
                 const pipelines::IpAddress& to, const Mac& mac, std::uint32_t flags);
  bool permanent(const Key& key) const;

  Context& context_;
  std::map<Key, Pending> pending_;
  std::size_t held_ = 0;
};

}  // namespace sealwire::control::gateway
