// A line as the data path sees it: an immutable snapshot of its configuration, and per direction the turns, the ports
// and the rings that its workers share. Built by app/control, swapped under one QSBR; the SAs behind it are slots that
// change one by one (tables/secy.h, tables/sad.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "pipelines/turn.h"

struct rte_ring;
struct rte_mempool;

namespace sealwire::pipelines {

class Secy;      // tables/secy.h: settings, transmit SC, receive SCs
class Spd;       // tables/spd.h: ordered rules, immutable
class Sad;       // tables/sad.h: SPI -> InboundSa slots
struct Gateway;  // stages/gateway.h: addresses, routes, neighbours

enum class Direction : std::uint8_t { egress, ingress };

// One port of a line. `id` is the ethdev port number.
struct LinePort {
  std::uint16_t id;
  std::uint16_t mtu;          // octets of payload after the Ethernet header
  std::uint8_t mac[6];
};

// Immutable once published; freed after the grace period. Pinned by every burst that was received under it.
struct LineSnapshot {
  std::uint16_t id = 0;       // index of the line, stable for its life
  bool esp = false;           // stages
  bool macsec = false;
  bool secure = false;        // false: self-tests or keys are not in place; everything toward outside drops as Unsealed
  std::vector<LinePort> inside, outside;
  Secy* secy = nullptr;       // set iff macsec; outlives the snapshot
  Sad* sad = nullptr;         // set iff esp; outlives the snapshot
  const Spd* spd = nullptr;   // set iff esp; swapped with the snapshot
  const Gateway* gateway = nullptr;  // set iff esp
};

// What the workers of one line direction share.
struct LineDirection {
  LineDirection(Direction d, bool shared) : direction(d), turns(shared) {}

  const Direction direction;
  std::atomic<const LineSnapshot*> snapshot{nullptr};  // control: wo; workers: ro, pinned per burst
  Turns turns;
  rte_ring* inject = nullptr;  // control -> workers: EAPOL, ARP/ND, PTB, keepalives, reassembled datagrams
  rte_ring* punt = nullptr;    // workers -> control
  rte_mempool* pool = nullptr; // for fragments and copies
};

}  // namespace sealwire::pipelines
