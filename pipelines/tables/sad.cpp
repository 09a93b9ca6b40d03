#include "pipelines/tables/sad.h"

#include <rte_ring.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "pipelines/wire/be.h"
#include "pipelines/wire/ip.h"

namespace sealwire::pipelines {
namespace {

constexpr unsigned kFirstTableBits = 10;
constexpr unsigned kEventRing = 4096;
constexpr std::uint64_t kMaxCookie = (1ULL << 48) - 1;

EspTransform transform_of(const crypto::AlgorithmInfo& info) {
  switch (info.cipher) {
    case crypto::Cipher::aes_gcm:
      return EspTransform::gcm;
    case crypto::Cipher::chacha20_poly1305:
      return EspTransform::chacha;
    case crypto::Cipher::aes_gmac:
      return EspTransform::gmac;
    case crypto::Cipher::aes_cbc:
      return EspTransform::cbc_hmac;
    case crypto::Cipher::null:
      break;
  }
  return EspTransform::null_hmac;
}

template <class Parameters>
std::optional<Error> fault(const Parameters& p) {
  auto error = [](const char* id, const char* message, const char* remedy) {
    return std::optional<Error>(Error{id, message, remedy});
  };
  if (p.spi.value() < 256)
    return error("SW-SAD-001", "SPI below 256 is reserved", "choose another SPI (RFC 4303 2.1)");
  if (p.key == nullptr || p.key->algorithm() != p.algorithm)
    return error("SW-SAD-002", "the SA's key is missing or made for another algorithm", "");
  if (p.source.v6 != p.destination.v6)
    return error("SW-SAD-003", "tunnel source and destination are of different families", "");
  if (p.cookie > kMaxCookie) return error("SW-SAD-004", "SA cookie beyond 48 bits", "");
  return std::nullopt;
}

// What of the outer header comes from the inner one (RFC 4301 §5.1.2, RFC 6040 §4.1).
void set_copied_fields(OutboundSa& sa, const OutboundSaParameters& p) {
  const unsigned dscp = p.dscp ? 0 : 0xfc, ecn = p.ecn == EcnPolicy::normal ? 3 : 0;
  sa.tos_copied = static_cast<std::uint8_t>(dscp | ecn);
  sa.tos_set = static_cast<std::uint8_t>(p.dscp.value_or(0) << 2);
  sa.df_copied = p.df == DfPolicy::copy ? wire::kIpv4DontFragment : std::uint16_t{0};
  sa.df_set = p.df == DfPolicy::set ? wire::kIpv4DontFragment : std::uint16_t{0};
}

void write_header_template(OutboundSa& sa, const OutboundSaParameters& p) {
  std::uint8_t header[48] = {};
  const std::uint8_t protocol = p.udp ? wire::kProtocolUdp : wire::kProtocolEsp;
  std::uint8_t length = 0;
  if (p.source.v6) {
    sa.next_header_hop_limit = static_cast<std::uint16_t>(protocol << 8 | p.ttl);
    std::memcpy(header + 8, p.source.octets.data(), 16);
    std::memcpy(header + 24, p.destination.octets.data(), 16);
    length = sizeof(wire::Ipv6Header);
  } else {
    header[8] = p.ttl;
    header[9] = protocol;
    std::memcpy(header + 12, p.source.octets.data(), 4);
    std::memcpy(header + 16, p.destination.octets.data(), 4);
    length = sizeof(wire::Ipv4Header);
    sa.checksum_base = wire::fold(wire::sum_words(header, length));
  }
  if (p.udp) {
    wire::store_be(header + length, p.udp->source_port);
    wire::store_be(header + length + 2, p.udp->destination_port);
    length = static_cast<std::uint8_t>(length + 8);
  }
  sa.header_length = length;
  std::memcpy(sa.header.data(), header + OutboundSa::kTemplateAt, sa.header.size());
}

}  // namespace

OutboundSa::~OutboundSa() = default;

InboundSa::InboundSa(InboundSaParameters&& p, crypto::ReplayWindow&& w)
    : window(std::move(w)), parameters(std::move(p)) {
  const crypto::AlgorithmInfo& info = crypto::info(parameters.algorithm);
  key = parameters.key.get();
  salt = parameters.salt;
  spi = parameters.spi.value();
  transform = transform_of(info);
  esn = parameters.esn;
  outer_v6 = parameters.destination.v6;
  udp = parameters.udp;
  ecn = parameters.ecn;
  iv_length = info.iv_length;
  icv_length = info.icv_length;
  pad_mask = static_cast<std::uint8_t>(info.block_length - 1);
  destination = parameters.destination.octets;
  selectors = SelectorSet(parameters.selectors);
  lifetime = parameters.lifetime;
  limited = lifetime.any();
  cookie = parameters.cookie;
}

InboundSa::~InboundSa() = default;

bool raise_event(rte_ring* events, std::uint64_t cookie, SaEventKind kind, bool inbound) noexcept {
  if (events == nullptr) return true;
  std::uint64_t word = cookie << 8 | static_cast<std::uint64_t>(kind) << 1 | (inbound ? 1U : 0U);
  return rte_ring_enqueue(events, std::bit_cast<void*>(word)) == 0;
}

Sad::Table::Table(unsigned bits)
    : mask((1U << bits) - 1U),
      shift(32U - bits),
      entries(std::make_unique<Entry[]>(std::size_t{1} << bits)) {}

void Sad::FreeAligned::operator()(std::uint8_t* memory) const {
  ::operator delete[](memory, std::align_val_t{RTE_CACHE_LINE_SIZE});
}

Sad::Sad(Retire retire) : retire_(std::move(retire)), table_(new Table(kFirstTableBits)) {
  auto size = static_cast<std::size_t>(rte_ring_get_memsize(kEventRing));
  ring_memory_.reset(
      static_cast<std::uint8_t*>(::operator new[](size, std::align_val_t{RTE_CACHE_LINE_SIZE})));
  events_ = std::launder(reinterpret_cast<rte_ring*>(ring_memory_.get()));
  rte_ring_init(events_, "sad-events", kEventRing, RING_F_SC_DEQ);
}

Sad::~Sad() {
  Table* table = table_.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i <= table->mask; ++i)
    delete table->entries[i].sa.load(std::memory_order_relaxed);
  delete table;
  for (OutboundSlot& slot : slots_) delete slot.current.load(std::memory_order_relaxed);
}

OutboundSlot* Sad::make_slot() { return &slots_.emplace_back(); }

Result<std::unique_ptr<OutboundSa>> Sad::make_outbound(OutboundSaParameters&& p) const {
  if (std::optional<Error> wrong = fault(p)) return tl::unexpected(std::move(*wrong));
  if (p.dscp && *p.dscp > 63) return fail("SW-SAD-005", "DSCP beyond 63", "use 0 to 63");
  if (p.next_sn.value() == 0) return fail("SW-SAD-006", "sequence number 0 is never sent", "");
  const crypto::AlgorithmInfo& info = crypto::info(p.algorithm);
  auto sa = std::make_unique<OutboundSa>();
  sa->key = p.key.get();
  sa->salt = p.salt;
  sa->spi_be =
      std::endian::native == std::endian::little ? __builtin_bswap32(p.spi.value()) : p.spi.value();
  sa->transform = transform_of(info);
  sa->esn = p.esn;
  sa->outer_v6 = p.source.v6;
  sa->udp = p.udp.has_value();
  sa->destination = p.destination;
  set_copied_fields(*sa, p);
  sa->iv_length = info.iv_length;
  sa->icv_length = info.icv_length;
  sa->pad_mask = static_cast<std::uint8_t>(info.block_length - 1);
  sa->path_mtu = p.path_mtu;
  write_header_template(*sa, p);
  sa->front = static_cast<std::uint8_t>(sa->header_length + 8 + sa->iv_length);
  sa->headroom = static_cast<std::uint8_t>(sa->front + (p.esn && info.aead ? kEsnAadLength : 0));
  constexpr std::uint64_t kWithoutEsn = 1ULL << 32;
  if (!p.esn) p.sn_limit = std::min(p.sn_limit, kWithoutEsn);
  sa->sn_limit = p.sn_limit;
  sa->sn_low_water = p.sn_low_water;
  sa->lifetime = p.lifetime;
  sa->limited = p.lifetime.any();
  sa->events = events_;
  sa->cookie = p.cookie;
  sa->runtime.next_sn = p.next_sn.value();
  sa->parameters = std::move(p);
  return sa;
}

OutboundSa* Sad::put(OutboundSlot& slot, std::unique_ptr<OutboundSa> sa) {
  OutboundSa* fresh = sa.release();
  OutboundSa* old = slot.current.exchange(fresh, std::memory_order_acq_rel);
  if (old != nullptr) retire_(std::shared_ptr<OutboundSa>(old));
  return fresh;
}

Result<OutboundSa*> Sad::install(OutboundSlot& slot, OutboundSaParameters&& p) {
  auto made = make_outbound(std::move(p));
  if (!made) return tl::unexpected(std::move(made.error()));
  return put(slot, std::move(*made));
}

bool Sad::remove(OutboundSlot& slot) {
  OutboundSa* old = slot.current.exchange(nullptr, std::memory_order_acq_rel);
  if (old == nullptr) return false;
  retire_(std::shared_ptr<OutboundSa>(old));
  return true;
}

void raise_limit(OutboundSa& sa, std::uint64_t sn_limit, std::uint64_t sn_low_water) noexcept {
  constexpr std::uint64_t kWithoutEsn = 1ULL << 32;
  sa.sn_low_water.store(sn_low_water, std::memory_order_relaxed);
  sa.sn_limit.store(sa.esn ? sn_limit : std::min(sn_limit, kWithoutEsn), std::memory_order_release);
}

Result<std::unique_ptr<InboundSa>> Sad::make_inbound(InboundSaParameters&& p) const {
  if (std::optional<Error> wrong = fault(p)) return tl::unexpected(std::move(*wrong));
  Result<crypto::ReplayWindow> window =
      crypto::ReplayWindow::create({p.replay_window, p.esn, crypto::SeqNo{0}});
  if (!window) return tl::unexpected(std::move(window.error()));
  auto sa = std::make_unique<InboundSa>(std::move(p), std::move(*window));
  sa->events = events_;
  return sa;
}

InboundSa* Sad::put(std::unique_ptr<InboundSa> sa) {
  InboundSa* fresh = sa.release();
  Entry* entry = find_entry(fresh->spi);
  InboundSa* old = entry == nullptr ? nullptr : entry->sa.load(std::memory_order_relaxed);
  if (old != nullptr) {
    entry->sa.store(fresh, std::memory_order_release);
    retire_(std::shared_ptr<InboundSa>(old));
    return fresh;
  }
  Table* table = table_.load(std::memory_order_relaxed);
  if ((table->used + 1) * 2 > table->mask) grow();
  link(*table_.load(std::memory_order_relaxed), fresh);
  ++inbound_count_;
  return fresh;
}

Result<InboundSa*> Sad::add_inbound(InboundSaParameters&& p) {
  if (find_inbound(p.spi.value()) != nullptr)
    return fail("SW-SAD-010", "inbound SPI " + std::to_string(p.spi.value()) + " is in use",
                "remove the SA first, or choose another SPI");
  return replace_inbound(std::move(p));
}

Result<InboundSa*> Sad::replace_inbound(InboundSaParameters&& p) {
  auto made = make_inbound(std::move(p));
  if (!made) return tl::unexpected(std::move(made.error()));
  return put(std::move(*made));
}

bool Sad::remove_inbound(crypto::Spi spi) {
  Entry* entry = find_entry(spi.value());
  InboundSa* old = entry == nullptr ? nullptr : entry->sa.load(std::memory_order_relaxed);
  if (old == nullptr) return false;
  entry->sa.store(nullptr, std::memory_order_release);
  --inbound_count_;
  retire_(std::shared_ptr<InboundSa>(old));
  return true;
}

std::optional<SaEvent> Sad::poll_event() {
  void* word;
  if (rte_ring_dequeue(events_, &word) != 0) return std::nullopt;
  auto bits = std::bit_cast<std::uint64_t>(word);
  return SaEvent{bits >> 8, static_cast<SaEventKind>(bits >> 1 & 0x7fU), (bits & 1U) != 0};
}

Sad::Entry* Sad::find_entry(std::uint32_t spi) {
  Table* table = table_.load(std::memory_order_relaxed);
  for (std::uint32_t at = slot_of(spi, *table);; at = (at + 1) & table->mask) {
    Entry& entry = table->entries[at];
    std::uint32_t found = entry.spi.load(std::memory_order_relaxed);
    if (found == 0) return nullptr;
    if (found == spi) return &entry;
  }
}

// Into the first entry that is free, be it left behind by a removed SA. The SPI goes first and the
// SA last, so that a reader that meets the entry half done finds null, or an SA whose own SPI tells
// it apart.
void Sad::link(Table& table, InboundSa* sa) {
  Entry* free = nullptr;
  for (std::uint32_t at = slot_of(sa->spi, table);; at = (at + 1) & table.mask) {
    Entry& entry = table.entries[at];
    std::uint32_t found = entry.spi.load(std::memory_order_relaxed);
    bool empty = entry.sa.load(std::memory_order_relaxed) == nullptr;
    if (found == sa->spi) {
      free = &entry;
      break;
    }
    if (free == nullptr && empty) free = &entry;
    if (found == 0) break;
  }
  if (free->spi.load(std::memory_order_relaxed) == 0) ++table.used;
  free->spi.store(sa->spi, std::memory_order_release);
  free->sa.store(sa, std::memory_order_release);
}

void Sad::grow() {
  Table* old = table_.load(std::memory_order_relaxed);
  // Twice the size unless most entries are left-overs of removed SAs.
  unsigned bits = 32U - old->shift;
  while ((inbound_count_ + 1) * 4 > (std::size_t{1} << bits)) ++bits;
  auto* table = new Table(bits);
  for (std::uint32_t i = 0; i <= old->mask; ++i)
    if (InboundSa* sa = old->entries[i].sa.load(std::memory_order_relaxed)) link(*table, sa);
  table_.store(table, std::memory_order_release);
  retire_(std::shared_ptr<Table>(old));
}

void Sad::each_inbound(const std::function<void(InboundSa&)>& visit) {
  Table* table = table_.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i <= table->mask; ++i)
    if (InboundSa* sa = table->entries[i].sa.load(std::memory_order_relaxed)) visit(*sa);
}

void Sad::each_outbound(const std::function<void(OutboundSlot&, OutboundSa&)>& visit) {
  for (OutboundSlot& slot : slots_)
    if (OutboundSa* sa = slot.current.load(std::memory_order_relaxed)) visit(slot, *sa);
}

}  // namespace sealwire::pipelines
