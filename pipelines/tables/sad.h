// The security association database (RFC 4301 §4.4.2): outbound SAs behind stable slots, inbound
// SAs by SPI.
//
// One writer, the control thread; readers are the workers, lock-free. What the writer takes out is
// handed to `retire` and must be kept until every worker has reported quiescence (QSBR), then
// destroyed: that wipes the key. Nothing here copies a whole table per change: adding or removing
// one SA of 100,000 costs the same as one of ten.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "crypto/aead.h"
#include "crypto/algorithm.h"
#include "crypto/nonce.h"
#include "crypto/numbers.h"
#include "crypto/replay_window.h"
#include "crypto/result.h"
#include "pipelines/counters.h"
#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/selector_set.h"

struct rte_ring;

namespace sealwire::pipelines {

struct Adjacency;  // tables/neighbours.h

enum class DfPolicy : std::uint8_t { copy, set, clear };
enum class EcnPolicy : std::uint8_t { normal, compatibility };  // RFC 6040 §4.1

/// Soft limits raise one event each; at a hard limit the SA is spent. 0: no limit. Octets are those
/// of the inner packets (RFC 4301 §4.4.2.1: what the algorithm is applied to, without padding).
/// Time limits are the control thread's.
struct LifetimeLimits {
  std::uint64_t soft_octets = 0;
  std::uint64_t hard_octets = 0;
  std::uint64_t soft_packets = 0;
  std::uint64_t hard_packets = 0;

  bool any() const { return (soft_octets | hard_octets | soft_packets | hard_packets) != 0; }
};

/// RFC 3948; ports in host order.
struct UdpEncapsulation {
  std::uint16_t source_port = 4500;
  std::uint16_t destination_port = 4500;
  std::uint32_t keepalive =
      20'000;  // milliseconds without traffic until the slow path sends one; 0: never
};

struct OutboundSaParameters {
  std::uint64_t cookie =
      0;  // the control thread's own name for the SA, below 2^48; comes back in events
  crypto::Spi spi{};
  crypto::Algorithm algorithm = crypto::Algorithm::aes_gcm_128;
  std::unique_ptr<const crypto::AeadKey> key;  // of the line's engine
  crypto::nonce::EspSalt salt{};               // GCM, GMAC, ChaCha20-Poly1305
  IpAddress source, destination;               // outer; one family
  bool esn = false;
  std::optional<std::uint8_t> dscp{};  // outer DSCP 0..63; none: copied from the inner packet
  EcnPolicy ecn = EcnPolicy::normal;
  DfPolicy df = DfPolicy::copy;  // IPv6 inner packets count as DF set
  std::uint8_t ttl = 64;
  std::uint16_t path_mtu = 0;  // largest outer packet in octets; 0: the outgoing port's MTU
  std::optional<UdpEncapsulation> udp{};
  LifetimeLimits lifetime{};
  crypto::SeqNo next_sn{1};            // the first number used
  std::uint64_t sn_limit = ~0ULL;      // exclusive; without ESN never beyond 2^32
  std::uint64_t sn_low_water = ~0ULL;  // one `sn_low` event when next_sn reaches it
};

struct InboundSaParameters {
  std::uint64_t cookie = 0;
  crypto::Spi spi{};
  crypto::Algorithm algorithm = crypto::Algorithm::aes_gcm_128;
  std::unique_ptr<const crypto::AeadKey> key;
  crypto::nonce::EspSalt salt{};
  IpAddress source,
      destination;  // outer; the destination is checked, the source is not (NAT, RFC 4301 §4.1)
  bool esn = false;
  std::uint32_t replay_window = 64;  // 0 (off), 32..16384; ESN needs one
  EcnPolicy ecn = EcnPolicy::normal;
  bool udp = false;  // packets come UDP-encapsulated; the other form is then unknown to the SA
  LifetimeLimits lifetime{};
  std::vector<Selector>
      selectors;  // what decrypted packets must look like, any of these; none: nothing is allowed
};

enum class SaEventKind : std::uint8_t {
  soft_octets,   // soft octet lifetime reached: rekey
  soft_packets,  // soft packet lifetime reached: rekey
  hard,          // hard lifetime reached: the SA is spent
  sn_low,        // next_sn reached sn_low_water: reserve more, or rekey
  sn_exhausted,  // sn_limit reached: packets are being dropped
};

/// Each kind comes exactly once per SA (sn_low and sn_exhausted once per raised limit).
struct SaEvent {
  std::uint64_t cookie;
  SaEventKind kind;
  bool inbound;
};

/// Puts an event on the ring; false if it is full: try again with the next packet. Any thread.
bool raise_event(rte_ring* events, std::uint64_t cookie, SaEventKind kind, bool inbound) noexcept;

/// AEADs with ESN authenticate SPI, SeqHi, SeqLo (RFC 4106 §5), which stand nowhere in the packet.
inline constexpr std::uint32_t kEsnAadLength = 12;

/// Which form of packet an SA makes, decided when it is added.
enum class EspTransform : std::uint8_t { gcm, chacha, gmac, cbc_hmac, null_hmac };

/// What the number turn writes, what it writes for every packet first. Written by the holder of the
/// number turn only.
struct OutboundRuntime {
  std::atomic<std::uint64_t> next_sn{1};
  Counter packets, octets;  // numbered, i.e. protected (inner octets)
  bool spent = false;       // hard lifetime reached
  std::uint8_t raised = 0;  // bit per SaEventKind
  Counter lifetime_drops, exhausted_drops;
};

/// An outbound SA. For every packet one line is read by every worker, and one written in the number
/// turn; what an IPv6 header needs beside them comes between.
struct alignas(64) OutboundSa {
  const crypto::AeadKey* key = nullptr;
  std::atomic<const Adjacency*> adjacency{
      nullptr};  // control: wo; next hop of the outer destination, or null
  crypto::nonce::EspSalt salt{};
  std::uint32_t spi_be = 0;
  // The bits of the outer TOS and DF that are the inner packet's, and those that are always set.
  std::uint16_t df_copied = 0, df_set = 0;
  std::uint8_t tos_copied = 0, tos_set = 0;
  // Of the IPv4 header template, one's complement sum in memory order.
  std::uint16_t checksum_base = 0;
  std::atomic<std::uint16_t> path_mtu{0};  // control: wo
  EspTransform transform{};
  bool esn = false;
  bool outer_v6 = false;
  bool udp = false;
  std::uint8_t header_length = 0;  // outer IP (+ UDP), octets
  std::uint8_t front = 0;          // that, ESP header and IV: what comes before the inner packet
  std::uint8_t headroom = 0;       // that, and the AAD where it stands nowhere in the packet
  std::uint8_t iv_length = 0;
  std::uint8_t icv_length = 0;
  std::uint8_t pad_mask = 3;  // ESP alignment - 1
  // Template of the outer header from its octet kTemplateAt on, network order: IPv4's ends the
  // line.
  static constexpr std::size_t kTemplateAt = 8;
  std::array<std::uint8_t, 40> header{};

  std::uint16_t next_header_hop_limit = 0;  // of an IPv6 header, host order
  IpAddress destination{};                  // outer

  // The limits are raised by the control thread now and then.
  alignas(64) std::atomic<std::uint64_t> sn_limit{~0ULL};
  std::atomic<std::uint64_t> sn_low_water{~0ULL};
  bool limited = false;  // `lifetime` has a limit
  OutboundRuntime runtime;

  // --- cold
  LifetimeLimits lifetime{};
  rte_ring* events = nullptr;
  std::uint64_t cookie = 0;
  OutboundSaParameters parameters;  // `key` owned here

  /// Starts fetching what a packet needs of it.
  void prefetch() const {
    __builtin_prefetch(this);
    __builtin_prefetch(&sn_limit, 1);
  }
  /// The template's octets from octet `at` of the outer header on.
  const std::uint8_t* header_from(std::size_t at) const { return header.data() + at - kTemplateAt; }

  /// The largest inner packet whose outer packet is at most `outer_mtu` octets.
  std::uint16_t largest_inner(std::uint16_t outer_mtu) const {
    const std::uint32_t around = std::uint32_t{front} + icv_length;
    if (outer_mtu < around + 4U) return 0;
    const std::uint32_t payload = (outer_mtu - around) & ~std::uint32_t{pad_mask};
    return payload < 2 ? std::uint16_t{0} : static_cast<std::uint16_t>(payload - 2);
  }

  ~OutboundSa();
};
static_assert(offsetof(OutboundSa, header) + 20 == 64);
static_assert(offsetof(OutboundSa, runtime.raised) < offsetof(OutboundSa, sn_limit) + 64);

/// Control thread: lets an SA use numbers up to `sn_limit` (exclusive) after they are durably
/// reserved.
void raise_limit(OutboundSa& sa, std::uint64_t sn_limit, std::uint64_t sn_low_water) noexcept;

/// Where a policy finds its SA. Stable address for the life of the Sad; rekey swaps the pointer.
struct OutboundSlot {
  std::atomic<OutboundSa*> current{nullptr};  // control: wo; null: PROTECT packets drop as EspNoSa
};

/// What the send turn writes; what it writes for every packet first.
struct InboundRuntime {
  Counter packets, octets;  // accepted (inner octets)
  std::uint8_t raised = 0;  // bit per SaEventKind
  Counter replay_drops, auth_failed, malformed, selector_drops, lifetime_drops, dummies, ecn_drops;
};

/// An inbound SA. Three lines for every packet, and the window's bits.
struct alignas(64) InboundSa {
  // --- first line: what build reads; the selectors' upper layer part ends it
  const crypto::AeadKey* key = nullptr;
  crypto::nonce::EspSalt salt{};
  std::uint32_t spi = 0;  // host order
  EspTransform transform{};
  bool esn = false;
  bool outer_v6 = false;
  bool udp = false;
  EcnPolicy ecn{};
  std::uint8_t iv_length = 0;
  std::uint8_t icv_length = 0;
  std::uint8_t pad_mask = 3;
  bool limited = false;            // `lifetime` has a limit
  std::atomic<bool> spent{false};  // hard lifetime reached; written in the send turn
  std::array<std::uint8_t, 16> destination{};
  SelectorSet selectors;  // its addresses are the second line

  // --- third line: written in the send turn
  alignas(64) crypto::ReplayWindow window;
  InboundRuntime runtime;

  // --- cold
  LifetimeLimits lifetime{};
  rte_ring* events = nullptr;
  std::uint64_t cookie = 0;
  InboundSaParameters parameters;  // `key` owned here

  /// Starts fetching what a packet needs of it.
  void prefetch() const {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const char*>(this) + 64);
    __builtin_prefetch(&window, 1);
  }
  /// Once that has come: what it points to.
  void prefetch_parts() const {
    __builtin_prefetch(key);
    window.prefetch();
  }

  InboundSa(InboundSaParameters&& p, crypto::ReplayWindow&& w);
  ~InboundSa();
};
static_assert(offsetof(InboundSa, selectors) == 48);
static_assert(offsetof(InboundSa, runtime.raised) < offsetof(InboundSa, window) + 64);

/// The database of one gateway line.
class Sad {
 public:
  /// Takes what was unlinked; keep it until the grace period is over, then let go of it.
  using Retire = std::function<void(std::shared_ptr<void>)>;

  explicit Sad(Retire retire);
  ~Sad();
  Sad(const Sad&) = delete;
  Sad& operator=(const Sad&) = delete;

  /// A new empty slot for policies to refer to. Never freed before the Sad. Control thread only, as
  /// are all that follow.
  OutboundSlot* make_slot();

  /// Builds an SA for put(), which cannot fail. Errors SW-SAD-001.. (bad SPI, families differ, key
  /// of another algorithm, ...).
  Result<std::unique_ptr<OutboundSa>> make_outbound(OutboundSaParameters&& parameters) const;
  Result<std::unique_ptr<InboundSa>> make_inbound(InboundSaParameters&& parameters) const;
  /// Makes the SA the slot's current one in one step; the one before is retired.
  OutboundSa* put(OutboundSlot& slot, std::unique_ptr<OutboundSa> sa);
  /// The same for inbound: an SA with this SPI gives way in one step.
  InboundSa* put(std::unique_ptr<InboundSa> sa);

  /// make_outbound() and put().
  Result<OutboundSa*> install(OutboundSlot& slot, OutboundSaParameters&& parameters);
  /// Empties the slot and retires its SA. False if there was none.
  bool remove(OutboundSlot& slot);

  /// make_inbound() and put(). SW-SAD-010 if the SPI is in use: old and new SA of a rekey have
  /// different SPIs.
  Result<InboundSa*> add_inbound(InboundSaParameters&& parameters);
  /// The same, but an SA with this SPI gives way in one step.
  Result<InboundSa*> replace_inbound(InboundSaParameters&& parameters);
  bool remove_inbound(crypto::Spi spi);

  /// Takes the next event, if there is one.
  std::optional<SaEvent> poll_event();

  /// The inbound SA of an SPI (host order), or null. Any thread; the result is pinned by QSBR.
  InboundSa* find_inbound(std::uint32_t spi) const noexcept {
    InboundSa* const sa = candidate(spi);
    return sa != nullptr && sa->spi == spi ? sa : nullptr;
  }
  /// The same without a look at the SA itself, which may be far away: its SPI is still to be
  /// compared, as the table's entry may have been given to another SPI while it was read.
  InboundSa* candidate(std::uint32_t spi) const noexcept {
    const Table* table = table_.load(std::memory_order_acquire);
    for (std::uint32_t at = slot_of(spi, *table);; at = (at + 1) & table->mask) {
      const Entry& entry = table->entries[at];
      const std::uint32_t found = entry.spi.load(std::memory_order_acquire);
      if (found == spi) return entry.sa.load(std::memory_order_acquire);
      if (found == 0) return nullptr;
    }
  }

  /// Starts fetching the table entry of an SPI.
  void prefetch(std::uint32_t spi) const noexcept {
    const Table* table = table_.load(std::memory_order_acquire);
    __builtin_prefetch(&table->entries[slot_of(spi, *table)]);
  }
  /// Its table is too large to be at hand: worth prefetch().
  bool is_wide() const noexcept { return table_.load(std::memory_order_acquire)->mask >= kWide; }

  std::size_t inbound_count() const { return inbound_count_; }

  /// Every SA, for `show` and for resolving adjacencies. Control thread.
  void each_inbound(const std::function<void(InboundSa&)>& visit);
  void each_outbound(const std::function<void(OutboundSlot&, OutboundSa&)>& visit);

 private:
  static constexpr std::uint32_t kWide = 1024;  // entries: a first-level cache's half
  struct Entry {
    std::atomic<std::uint32_t> spi{
        0};  // 0: never used; an entry once used keeps a number, so probing goes past it
    std::atomic<InboundSa*> sa{nullptr};
  };
  struct Table {
    explicit Table(unsigned bits);
    std::uint32_t mask, shift, used = 0;
    std::unique_ptr<Entry[]> entries;
  };
  static std::uint32_t slot_of(std::uint32_t spi, const Table& table) noexcept {
    return spi * 0x9E3779B1U >> table.shift;
  }
  static void link(Table& table, InboundSa* sa);
  void grow();
  Entry* find_entry(std::uint32_t spi);

  Retire retire_;
  std::atomic<Table*> table_;
  std::size_t inbound_count_ = 0;
  std::deque<OutboundSlot> slots_;
  struct FreeAligned {
    void operator()(std::uint8_t* memory) const;
  };
  std::unique_ptr<std::uint8_t[], FreeAligned> ring_memory_;
  rte_ring* events_ = nullptr;
};

}  // namespace sealwire::pipelines
