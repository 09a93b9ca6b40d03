#include "tests/unit/pipelines/harness.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>

#include "crypto/engines/openssl.h"

namespace sealwire::pipelines::test {

namespace {

constexpr unsigned kBuffers = 16383, kJumboBuffers = 511;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, rte_strerror(rte_errno));
  std::abort();
}

rte_ring* make_ring(unsigned slots) {
  static int number = 0;
  rte_ring* ring = rte_ring_create(("test" + std::to_string(number++)).c_str(), slots,
                                   SOCKET_ID_ANY, RING_F_EXACT_SZ);
  if (ring == nullptr) die("rte_ring_create");
  return ring;
}

void drain(rte_ring* ring) {
  if (ring == nullptr) return;
  void* m;
  while (rte_ring_dequeue(ring, &m) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(m));
  rte_ring_free(ring);
}

}  // namespace

Bytes from_hex(std::string_view hex) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(
        static_cast<std::uint8_t>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += digits[b >> 4];
    out += digits[b & 15];
  }
  return out;
}

void start_eal() {
  static const bool started = [] {
    std::string prefix = "--file-prefix=sealwire-test-" + std::to_string(getpid());
    std::vector<std::string> text{
        "test", "--no-pci",       "--no-huge",           "-m", "128", "--no-shconf", "-l", "0",
        prefix, "--no-telemetry", "--log-level=critical"};
    std::vector<char*> args;
    for (auto& t : text) args.push_back(t.data());
    if (rte_eal_init(static_cast<int>(args.size()), args.data()) < 0) die("rte_eal_init");
    return true;
  }();
  static_cast<void>(started);
}

#ifdef __SANITIZE_THREAD__

// A mempool whose hand-over of buffers from thread to thread ThreadSanitizer sees.
namespace {
struct Stock {
  std::mutex mutex;
  std::vector<void*> objects;
};
Stock& stock_of(const rte_mempool* mp) { return *static_cast<Stock*>(mp->pool_data); }
int stock_alloc(rte_mempool* mp) {
  mp->pool_data = new Stock;
  return 0;
}
void stock_free(rte_mempool* mp) { delete &stock_of(mp); }
int stock_put(rte_mempool* mp, void* const* objects, unsigned n) {
  const std::lock_guard lock(stock_of(mp).mutex);
  stock_of(mp).objects.insert(stock_of(mp).objects.end(), objects, objects + n);
  return 0;
}
int stock_take(rte_mempool* mp, void** objects, unsigned n) {
  Stock& stock = stock_of(mp);
  const std::lock_guard lock(stock.mutex);
  if (stock.objects.size() < n) return -ENOBUFS;
  for (unsigned i = 0; i < n; ++i) {
    objects[i] = stock.objects.back();
    stock.objects.pop_back();
  }
  return 0;
}
unsigned stock_count(const rte_mempool* mp) {
  const std::lock_guard lock(stock_of(mp).mutex);
  return static_cast<unsigned>(stock_of(mp).objects.size());
}
const char* pool_ops() {
  static const bool registered = [] {
    rte_mempool_ops ops{};
    std::strcpy(ops.name, "stock");
    ops.alloc = stock_alloc;
    ops.free = stock_free;
    ops.enqueue = stock_put;
    ops.dequeue = stock_take;
    ops.get_count = stock_count;
    if (rte_mempool_register_ops(&ops) < 0) die("rte_mempool_register_ops");
    return true;
  }();
  static_cast<void>(registered);
  return "stock";
}
}  // namespace

#else

namespace {
const char* pool_ops() { return "ring_mp_mc"; }
}  // namespace

#endif

namespace {
rte_mempool* make_pool(const char* name, unsigned buffers, std::uint16_t room) {
  start_eal();
  rte_mempool* const made =
      rte_pktmbuf_pool_create_by_ops(name, buffers, 0, 0, room, SOCKET_ID_ANY, pool_ops());
  if (made == nullptr) die("rte_pktmbuf_pool_create");
  return made;
}
}  // namespace

rte_mempool* pool() {
  static rte_mempool* const made = make_pool("small", kBuffers, RTE_PKTMBUF_HEADROOM * 2 + 2048);
  return made;
}

rte_mempool* jumbo_pool() {
  static rte_mempool* const made = make_pool("jumbo", kJumboBuffers, 10240);
  return made;
}

rte_mbuf* make_mbuf(const Bytes& frame, rte_mempool* from) {
  rte_mbuf* const m = rte_pktmbuf_alloc(from != nullptr       ? from
                                        : frame.size() > 2048 ? jumbo_pool()
                                                              : pool());
  if (m == nullptr) die("rte_pktmbuf_alloc");
  char* const to = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
  if (to == nullptr) die("rte_pktmbuf_append");
  if (!frame.empty()) std::memcpy(to, frame.data(), frame.size());
  return m;
}

Bytes bytes_of(const rte_mbuf* m) {
  Bytes out(rte_pktmbuf_pkt_len(m));
  const void* from = rte_pktmbuf_read(m, 0, rte_pktmbuf_pkt_len(m), out.data());
  if (from != out.data()) std::memcpy(out.data(), from, out.size());
  return out;
}

testing::AssertionResult same(const std::vector<Bytes>& got, const std::vector<Bytes>& expected) {
  for (std::size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    if (got[i] != expected[i]) {
      return testing::AssertionFailure()
             << "frame " << i << " of " << got.size() << ": " << to_hex(got[i]).substr(0, 160)
             << ", expected " << to_hex(expected[i]).substr(0, 160);
    }
  }
  if (got.size() == expected.size()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << got.size() << " frames, expected " << expected.size();
}

unsigned mbufs_in_use() {
  return rte_mempool_in_use_count(pool()) + rte_mempool_in_use_count(jumbo_pool());
}

#ifdef __SANITIZE_THREAD__

struct FrameQueue {
  explicit FrameQueue(unsigned slots) : limit(slots) {}
  ~FrameQueue() {
    while (rte_mbuf* m = take()) rte_pktmbuf_free(m);
  }
  bool put(rte_mbuf* m) {
    const std::lock_guard lock(mutex);
    if (frames.size() >= limit) return false;
    frames.push_back(m);
    return true;
  }
  rte_mbuf* take() {
    const std::lock_guard lock(mutex);
    if (frames.empty()) return nullptr;
    rte_mbuf* const m = frames.front();
    frames.pop_front();
    return m;
  }
  unsigned count() {
    const std::lock_guard lock(mutex);
    return static_cast<unsigned>(frames.size());
  }
  rte_ring* ring() {
    if (behind == nullptr) behind = make_ring(64);
    return behind;
  }
  std::mutex mutex;
  std::deque<rte_mbuf*> frames;
  std::size_t limit;
  rte_ring* behind = nullptr;
};

namespace {
std::uint16_t receive_from(void* queue, rte_mbuf** mbufs, std::uint16_t n) {
  std::uint16_t got = 0;
  while (got < n && (mbufs[got] = static_cast<FrameQueue*>(queue)->take()) != nullptr) ++got;
  return got;
}
std::uint16_t transmit_to(void* queue, rte_mbuf** mbufs, std::uint16_t n) {
  std::uint16_t sent = 0;
  while (sent < n && static_cast<FrameQueue*>(queue)->put(mbufs[sent])) ++sent;
  return sent;
}
}  // namespace

#else

struct FrameQueue {
  explicit FrameQueue(unsigned slots) : behind(make_ring(slots)) {}
  ~FrameQueue() { drain(behind); }
  bool put(rte_mbuf* m) { return rte_ring_enqueue(behind, m) == 0; }
  rte_mbuf* take() {
    void* m;
    return rte_ring_dequeue(behind, &m) == 0 ? static_cast<rte_mbuf*>(m) : nullptr;
  }
  unsigned count() { return rte_ring_count(behind); }
  rte_ring* ring() { return behind; }
  rte_ring* behind;
};

#endif

RingPort::RingPort(unsigned queues, unsigned tx_slots) {
  start_eal();
  static int number = 0;
  std::vector<rte_ring*> rings;
  for (unsigned q = 0; q < queues; ++q) {
    rx_.push_back(std::make_unique<FrameQueue>(2048));
    rings.push_back(rx_.back()->ring());
    rx_data_.push_back(rx_.back().get());
  }
  tx_.push_back(std::make_unique<FrameQueue>(tx_slots));
  tx_data_.push_back(tx_.back().get());
  rte_ring* tx_ring = tx_.back()->ring();
  const int id = rte_eth_from_rings(("ring" + std::to_string(number++)).c_str(), rings.data(),
                                    queues, &tx_ring, 1, 0);
  if (id < 0) die("rte_eth_from_rings");
  id_ = static_cast<std::uint16_t>(id);
  const rte_eth_conf conf{};
  if (rte_eth_dev_configure(id_, static_cast<std::uint16_t>(queues), 1, &conf) != 0) {
    die("rte_eth_dev_configure");
  }
  for (unsigned q = 0; q < queues; ++q) {
    if (rte_eth_rx_queue_setup(id_, static_cast<std::uint16_t>(q), 0, 0, nullptr, pool()) != 0)
      die("rx_queue_setup");
  }
  if (rte_eth_tx_queue_setup(id_, 0, 0, 0, nullptr) != 0) die("tx_queue_setup");
  if (rte_eth_dev_start(id_) != 0) die("rte_eth_dev_start");
#ifdef __SANITIZE_THREAD__
  struct rte_eth_fp_ops& ops = rte_eth_fp_ops[id_];
  ops.rx_pkt_burst = receive_from;
  ops.tx_pkt_burst = transmit_to;
  ops.rxq.data = rx_data_.data();
  ops.txq.data = tx_data_.data();
#endif
}

RingPort::~RingPort() {
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
}

bool RingPort::put(const Bytes& frame, unsigned queue) {
  rte_mbuf* const m = make_mbuf(frame);
  if (put_mbuf(m, queue)) return true;
  rte_pktmbuf_free(m);
  return false;
}

bool RingPort::put_mbuf(rte_mbuf* m, unsigned queue) { return rx_[queue]->put(m); }

rte_mbuf* RingPort::take_mbuf() { return tx_[0]->take(); }

std::vector<Bytes> RingPort::take() {
  std::vector<Bytes> out;
  while (rte_mbuf* m = take_mbuf()) {
    out.push_back(bytes_of(m));
    rte_pktmbuf_free(m);
  }
  return out;
}

unsigned RingPort::waiting() const { return tx_[0]->count(); }

Bytes make_frame(std::size_t length, std::uint32_t seed, std::uint16_t ether_type) {
  Bytes f(length);
  for (std::size_t i = 0; i < length; ++i) {
    f[i] = static_cast<std::uint8_t>(i * 7 + seed * 31 + (i >> 8));
  }
  constexpr std::uint8_t addresses[12] = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1};
  std::memcpy(f.data(), addresses, std::min<std::size_t>(length, 12));
  if (length > 12) f[12] = static_cast<std::uint8_t>(ether_type >> 8);
  if (length > 13) f[13] = static_cast<std::uint8_t>(ether_type);
  return f;
}

Wire::Wire(const LineOptions& o)
    : inside(o.inside_queues),
      outside(1, o.outside_tx_slots),
      egress(Direction::egress, o.egress),
      ingress(Direction::ingress,
              o.egress == Spread::alone ? Spread::alone : Spread::shared_queue) {
  if (o.macsec) secy = Secy::create(o.secy).value();
  snapshot.macsec = o.macsec;
  snapshot.secure = true;
  snapshot.inside = {{.id = inside.id(), .mtu = o.mtu, .mac = {}}};
  snapshot.outside = {{.id = outside.id(), .mtu = o.mtu, .mac = {}, .secy = secy.get()}};
  for (LineDirection* d : {&egress, &ingress}) {
    d->inject = make_ring(64);
    d->punt = make_ring(64);
    d->pool = jumbo_pool();
    d->snapshot.store(&snapshot, std::memory_order_release);
  }
}

Wire::~Wire() {
  for (LineDirection* d : {&egress, &ingress}) {
    drain(d->inject);
    drain(d->punt);
  }
}

namespace {
crypto::EngineFactory& factory() {
  static const std::unique_ptr<crypto::EngineFactory> made = crypto::make_openssl_factory().value();
  return *made;
}
}  // namespace

crypto::Engine& engine() {
  thread_local const std::unique_ptr<crypto::Engine> made = factory().make().value();
  return *made;
}

std::unique_ptr<crypto::AeadKey> make_key(CipherSuite suite, const Bytes& key) {
  return engine().make_key(algorithm_of(suite), crypto::SecretBytes(key)).value();
}

namespace {
constexpr crypto::nonce::XpnSalt kSalt{0xe6, 0x30, 0xe8, 0x1a, 0x48, 0xde,
                                       0x86, 0xa2, 0x1c, 0x66, 0xfa, 0x6d};
Bytes key_octets(const Sak& sak) {
  const bool wide = algorithm_of(sak.suite) == crypto::Algorithm::aes_gcm_256;
  return Bytes(wide ? 32 : 16, sak.fill);
}
}  // namespace

void add_transmit(Secy& secy, const Sak& sak, bool encode) {
  const crypto::An an(sak.an);
  auto ok = secy.install_transmit_sa({.an = an,
                                      .suite = sak.suite,
                                      .confidentiality = sak.confidentiality,
                                      .confidentiality_offset = sak.offset,
                                      .salt = kSalt,
                                      .ssci = crypto::Ssci(sak.ssci),
                                      .next_pn = crypto::Pn(sak.pn),
                                      .limit = sak.limit,
                                      .key = make_key(sak.suite, key_octets(sak))});
  ASSERT_TRUE(ok) << ok.error().message;
  ASSERT_TRUE(secy.enable_transmit(an, true));
  if (encode) {
    ASSERT_TRUE(secy.set_encoding_sa(an));
  }
}

void add_receive(Secy& secy, std::uint64_t sci, const Sak& sak, bool enable) {
  if (secy.receive_sc_counters(crypto::Sci(sci)) == nullptr) {
    ASSERT_TRUE(secy.create_receive_sc(crypto::Sci(sci)));
  }
  auto ok =
      secy.install_receive_sa(crypto::Sci(sci), {.an = crypto::An(sak.an),
                                                 .suite = sak.suite,
                                                 .confidentiality_offset = sak.offset,
                                                 .salt = kSalt,
                                                 .ssci = crypto::Ssci(sak.ssci),
                                                 .lowest_pn = crypto::Pn(sak.pn),
                                                 .key = make_key(sak.suite, key_octets(sak))});
  ASSERT_TRUE(ok) << ok.error().message;
  if (enable) {
    ASSERT_TRUE(secy.enable_receive(crypto::Sci(sci), crypto::An(sak.an), true));
  }
}

Loop::Loop(std::vector<LaneSettings> lanes) : worker_({.id = 0, .idle = Idle::spin}) {
  for (auto& l : lanes) {
    l.engine = &engine();
    lanes_.push_back(std::make_unique<Lane>(std::move(l)));
    list_.lanes.push_back(lanes_.back().get());
  }
  worker_.publish(&list_);
}

Loop::~Loop() = default;

void Loop::run_until_quiet() {
  for (int quiet = 0; quiet < 3;) quiet = worker_.step() == 0 ? quiet + 1 : 0;
}

std::uint64_t Loop::drops(std::size_t lane, DropReason reason) const {
  return lanes_[lane]->counters().drops[static_cast<std::size_t>(reason)].read();
}

std::vector<LaneSettings> both(std::initializer_list<Wire*> wires) {
  std::vector<LaneSettings> out;
  for (Wire* w : wires) {
    out.push_back({.line = &w->egress, .receive = {{0, 0}}});
    out.push_back({.line = &w->ingress, .receive = {{0, 0}}});
  }
  return out;
}

Bytes Sealed::bytes() const {
  Bytes out(frame.begin(), frame.begin() + 12);
  const std::size_t secure = frame.size() - 12;
  const auto put = [&out](std::uint64_t value, int octets) {
    for (int i = octets - 1; i >= 0; --i)
      out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  };
  put(0x88E5, 2);
  put(tci_an, 1);
  put(sl.value_or(secure < 48 ? static_cast<std::uint8_t>(secure) : std::uint8_t{0}), 1);
  put(pn & 0xFFFFFFFF, 4);
  if ((tci_an & 0x20) != 0) put(sci, 8);
  const std::size_t at = out.size();
  out.insert(out.end(), frame.begin() + 12, frame.end());
  out.resize(out.size() + 16);
  const std::size_t clear =
      (tci_an & 0x08) == 0 ? secure : std::min<std::size_t>(sak.offset, secure);
  const auto key = make_key(sak.suite, key_octets(sak));
  crypto::AeadBatch batch;
  batch.reset(crypto::Direction::seal);
  crypto::AeadOp& op = batch.add();
  op.key = key.get();
  op.aad = out.data();
  op.aad_length = static_cast<std::uint32_t>(at + clear);
  op.data = out.data() + at + clear;
  op.length = static_cast<std::uint32_t>(secure - clear);
  op.tag = out.data() + at + secure;
  Bytes nonce;
  for (int i = 7; i >= 0; --i) {
    nonce.push_back(static_cast<std::uint8_t>((is_xpn(sak.suite) ? pn : sci) >> (8 * i)));
  }
  if (is_xpn(sak.suite)) {
    nonce.insert(nonce.begin(), {0, 0, 0, sak.ssci});
    for (int i = 0; i < 12; ++i)
      nonce[static_cast<std::size_t>(i)] ^= kSalt[static_cast<std::size_t>(i)];
  } else {
    for (int i = 3; i >= 0; --i) nonce.push_back(static_cast<std::uint8_t>(pn >> (8 * i)));
  }
  std::memcpy(op.iv, nonce.data(), 12);
  engine().submit(batch);
  EXPECT_EQ(op.status, crypto::OpStatus::ok);
  out.insert(out.begin() + 12, clear_tags.begin(), clear_tags.end());
  out.insert(out.end(), padding, 0);
  return out;
}

}  // namespace sealwire::pipelines::test
