// Two sites and one line between them, and ports whose frames go in by a ring and leave by another.
// The real lanes run in between.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "crypto/aead.h"
#include "pipelines/line.h"
#include "pipelines/stages/gateway.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/secy.h"
#include "pipelines/tables/spd.h"
#include "pipelines/worker.h"

namespace sealwire::perf {

struct Stages {
  bool esp, macsec;
  bool operator==(const Stages&) const = default;
};

/// Site 1 has hosts 172.16.0.0 + i; with several ESP SAs each protects one of them, else all have
/// the same.
std::uint32_t host_address(std::uint32_t host);

/// An ethdev; what it receives by its queues is put into `rx`, what it sends by its only one is in
/// `tx`.
struct MemoryPort {
  static constexpr std::size_t kMostQueues = 2;
  MemoryPort(rte_mempool* pool, std::uint16_t queues, unsigned slots);
  ~MemoryPort();
  MemoryPort(const MemoryPort&) = delete;
  MemoryPort& operator=(const MemoryPort&) = delete;
  std::array<rte_ring*, kMostQueues> rx{};
  rte_ring* tx;
  std::uint16_t id;
};

struct SiteSettings {
  Stages stages;
  unsigned sas = 1;                                                    // of ESP
  crypto::Algorithm algorithm = crypto::Algorithm::aes_gcm_128;        // of ESP
  pipelines::CipherSuite suite = pipelines::CipherSuite::gcm_aes_128;  // of MACsec
  std::uint16_t workers = 1;                                           // of each direction
  pipelines::Spread spread = pipelines::Spread::alone;
  unsigned slots = 256;  // of a port's queue
};

using Lanes = std::vector<std::unique_ptr<pipelines::Lane>>;

/// Site 1 seals towards site 2, which opens what it sealed; of ESP each has the SAs of its part.
class Site {
 public:
  Site(int number, const SiteSettings& settings, crypto::EngineFactory& factory, rte_mempool* pool);

  MemoryPort inside, outside;
  std::vector<std::unique_ptr<crypto::Engine>> engines;
  pipelines::LineDirection egress, ingress;
  Lanes egress_lanes, ingress_lanes;  // one for each worker

  /// Of ESP: a new outbound SA for the packets of SA `sa`, and its inbound twin at the other site;
  /// key and SPI are those of `generation`, the first of which is 0.
  void rekey_outbound(unsigned sa, unsigned generation);
  void add_inbound(unsigned sa, unsigned generation);
  void remove_inbound(unsigned sa, unsigned generation);

 private:
  void add_macsec(int number, int peer, pipelines::CipherSuite suite);
  void add_esp(int number, int peer);
  void add_outbound(pipelines::Adjacency& hop);
  void add_inbound();
  crypto::Spi spi_of(unsigned sa, unsigned generation) const;
  template <class Parameters>
  Parameters tunnel(unsigned sa, unsigned generation);

  unsigned sas_;
  crypto::Algorithm algorithm_;
  std::vector<std::shared_ptr<void>> retired_;
  pipelines::Neighbours neighbours_;
  pipelines::Gateway gateway_;
  pipelines::Sad sad_;
  std::vector<pipelines::OutboundSlot*> slots_;
  pipelines::Adjacency* hop_ = nullptr;
  std::unique_ptr<const pipelines::Spd> spd_;
  std::unique_ptr<pipelines::Secy> secy_;
  pipelines::LineSnapshot snapshot_;
};

/// The names of the reasons for which it has dropped packets, each after a space.
std::string drops_of(const pipelines::Lane& lane);

/// The value, or an exception that tells why there is none.
template <class T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().id + ": " + result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace sealwire::perf
