// A line as the data path sees it: an immutable snapshot of its configuration, and per direction
// the turns, the ports and the rings that its workers share. Built by app/control, swapped under
// one QSBR; the SAs behind it are slots that change one by one (tables/secy.h, tables/sad.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "pipelines/turn.h"

struct rte_ring;
struct rte_mempool;

namespace sealwire::pipelines {

class Secy;      // tables/secy.h: settings, transmit SC, receive SCs; one per outside port
class Spd;       // tables/spd.h: ordered rules, immutable
class Sad;       // tables/sad.h: SPI -> InboundSa slots
struct Gateway;  // stages/gateway.h: addresses, routes, neighbours

enum class Direction : std::uint8_t { egress, ingress };

// One port of a line. `id` is the ethdev port number.
struct LinePort {
  std::uint16_t id;
  std::uint16_t mtu;  // octets of payload after the Ethernet header
  std::uint8_t mac[6];
  Secy* secy = nullptr;  // outside ports of a line with macsec; outlives the snapshot
};

// Immutable once published; freed after the grace period. Pinned by every burst that was received
// under it.
struct LineSnapshot {
  std::uint16_t id = 0;  // index of the line, stable for its life
  bool esp = false;      // stages
  bool macsec = false;
  bool secure =
      false;  // false: self-tests, keys or workers are not in place; everything drops as Unsealed
  std::vector<LinePort> inside, outside;
  Sad* sad = nullptr;                // set iff esp; outlives the snapshot
  const Spd* spd = nullptr;          // set iff esp; swapped with the snapshot
  const Gateway* gateway = nullptr;  // set iff esp
};

// How the workers of one line direction share its receiving queues.
enum class Spread : std::uint8_t {
  alone,         // one worker owns the direction
  shared_queue,  // in turn, all workers poll the same queue(s) under the receive turn
  own_queues,    // in turn, each worker has receive queues of its own (egress only: RSS)
};

// What the workers of one line direction share.
struct LineDirection {
  LineDirection(Direction d, Spread s) : direction(d), spread(s), turns(s != Spread::alone) {}

  const Direction direction;
  const Spread spread;
  std::atomic<const LineSnapshot*> snapshot{nullptr};  // control: wo; workers: ro, pinned per burst
  Turns turns;
  // Rings of mbufs with a mark (mark.h). inject: one producer; several consumers if spread is
  // own_queues. punt: several producers unless alone; one consumer. Both may be null.
  rte_ring* inject =
      nullptr;  // control -> workers: EAPOL, ARP/ND, PTB, keepalives, reassembled datagrams
  rte_ring* punt = nullptr;     // workers -> control
  rte_mempool* pool = nullptr;  // for fragments and copies
};

}  // namespace sealwire::pipelines
