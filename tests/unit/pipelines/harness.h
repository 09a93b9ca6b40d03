// Lines between net_ring ports, for tests of stages and workers. No NIC, no hugepages.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "crypto/aead.h"
#include "pipelines/line.h"
#include "pipelines/tables/secy.h"
#include "pipelines/worker.h"

namespace sealwire::pipelines::test {

using Bytes = std::vector<std::uint8_t>;

Bytes from_hex(std::string_view hex);
std::string to_hex(std::span<const std::uint8_t> bytes);

// Starts EAL once for the executable.
void start_eal();

rte_mempool* pool();  // 2 KiB buffers
rte_mempool* jumbo_pool();

rte_mbuf* make_mbuf(const Bytes& frame, rte_mempool* from = nullptr);
Bytes bytes_of(const rte_mbuf* m);

// Equal frames in equal order; says which is the first that differs.
testing::AssertionResult same(const std::vector<Bytes>& got, const std::vector<Bytes>& expected);

// Mbufs out of their pools; a test ends with as many as it began with.
unsigned mbufs_in_use();

struct FrameQueue;

// A net_ring port: what is put in arrives by rx_burst, what is transmitted is taken out. Under
// ThreadSanitizer, which does not see into DPDK's rings, the same with queues under a mutex.
class RingPort {
 public:
  explicit RingPort(unsigned queues = 1, unsigned tx_slots = 1024);
  ~RingPort();
  RingPort(const RingPort&) = delete;
  RingPort& operator=(const RingPort&) = delete;

  std::uint16_t id() const { return id_; }
  bool put(const Bytes& frame, unsigned queue = 0);
  bool put_mbuf(rte_mbuf* m, unsigned queue = 0);
  rte_mbuf* take_mbuf();
  std::vector<Bytes> take();  // all that was transmitted, in order
  unsigned waiting() const;   // transmitted and not taken

 private:
  std::uint16_t id_ = 0;
  std::vector<std::unique_ptr<FrameQueue>> rx_, tx_;
  std::vector<void*> rx_data_, tx_data_;
};

// A frame of `length` octets with addresses, an EtherType and a pattern that depends on `seed`.
Bytes make_frame(std::size_t length, std::uint32_t seed = 0, std::uint16_t ether_type = 0x0800);

struct LineOptions {
  bool macsec = true;
  SecySettings secy{};
  Spread egress = Spread::alone;
  std::uint16_t mtu = 9600;
  unsigned inside_queues = 1;
  unsigned outside_tx_slots = 1024;
};

// A wire with both directions, its ports, rings and (with macsec) its SecY.
struct Wire {
  explicit Wire(const LineOptions& options = {});
  ~Wire();

  RingPort inside, outside;
  std::unique_ptr<Secy> secy;
  LineSnapshot snapshot;
  LineDirection egress, ingress;
};

inline constexpr std::uint64_t kSciA = 0x02'00'00'00'0a'01'00'01, kSciB = 0x02'00'00'00'0b'01'00'01;

crypto::Engine& engine();  // of this thread
std::unique_ptr<crypto::AeadKey> make_key(CipherSuite suite, const Bytes& key);

// Keys, salts and SSCIs that both ends share.
struct Sak {
  CipherSuite suite = CipherSuite::gcm_aes_128;
  std::uint8_t an = 0;
  std::uint8_t fill = 1;  // key octets
  bool confidentiality = true;
  std::uint8_t offset = 0;
  std::uint64_t pn = 1;
  std::uint64_t limit = 0;
  std::uint8_t ssci = 1;
};
void add_transmit(Secy& secy, const Sak& sak, bool encode = true);
void add_receive(Secy& secy, std::uint64_t sci, const Sak& sak, bool enable = true);

// Runs a burst-wise worker on this thread until nothing moves.
class Loop {
 public:
  explicit Loop(std::vector<LaneSettings> lanes);
  ~Loop();
  void run_until_quiet();
  Worker& worker() { return worker_; }
  Lane& lane(std::size_t i) { return *lanes_[i]; }
  std::uint64_t drops(std::size_t lane, DropReason reason) const;

 private:
  std::vector<std::unique_ptr<Lane>> lanes_;
  LaneList list_;
  Worker worker_;
};

// Both directions of wires, alone on one worker: lane 2i is the egress of wire i, 2i+1 its ingress.
std::vector<LaneSettings> both(std::initializer_list<Wire*> wires);

// Two sites: a's outside is carried to b's outside by the test and back.
struct Sites {
  explicit Sites(const LineOptions& common = {})
      : options(common), a(with(kSciA)), b(with(kSciB)) {}
  LineOptions with(std::uint64_t sci) {
    LineOptions o = options;
    o.secy.sci = crypto::Sci(sci);
    return o;
  }
  // Everything transmitted by `from` outside arrives at `to` outside; returned as it was on the
  // wire.
  static std::vector<Bytes> carry(Wire& from, Wire& to) {
    std::vector<Bytes> frames = from.outside.take();
    for (const Bytes& f : frames) EXPECT_TRUE(to.outside.put(f));
    return frames;
  }
  LineOptions options;
  Wire a, b;
  Loop loop{both({&a, &b})};
};

// A frame sealed by the test itself, apart from the code under test: any TCI, SL and PN, valid or
// not.
struct Sealed {
  Bytes frame = make_frame(100);  // DA, SA, user data
  std::uint8_t tci_an = 0x2C;     // SC, E, C, AN 0
  std::optional<std::uint8_t> sl{};
  std::uint64_t pn = 1;
  std::uint64_t sci = kSciA;
  Sak sak{};
  Bytes clear_tags{};  // VLAN tags ahead of the SecTAG
  std::size_t padding = 0;
  Bytes bytes() const;
};

}  // namespace sealwire::pipelines::test
