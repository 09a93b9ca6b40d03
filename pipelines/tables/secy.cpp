#include "pipelines/tables/secy.h"

#include <algorithm>
#include <utility>

#include "pipelines/wire/macsec.h"

namespace sealwire::pipelines {

namespace {

// First PN that may not be used. XPN gives up its very last number so that the end fits.
constexpr std::uint64_t end_of(CipherSuite suite) {
  return is_xpn(suite) ? crypto::kMaxPn64 : crypto::kMaxPn32 + 1;
}

Result<void> check_sa(CipherSuite suite, std::uint8_t offset, crypto::Ssci ssci, crypto::Pn pn,
                      const crypto::AeadKey* key) {
  if (offset != 0 && offset != 30 && offset != 50) {
    return fail("SW-SCY-011", "confidentiality offset is not 0, 30 or 50");
  }
  if (offset != 0 && is_xpn(suite)) {
    return fail("SW-SCY-011", "XPN suites have no confidentiality offset",
                "use offset 0 or a suite without XPN");
  }
  if (pn.value() == 0 || pn.value() > end_of(suite)) {
    return fail("SW-SCY-012", "packet number outside the suite's range",
                "use 1 or more; without XPN at most 2^32");
  }
  if (key == nullptr || key->algorithm() != algorithm_of(suite)) {
    return fail("SW-SCY-013", "the key is missing or not of the cipher suite's algorithm");
  }
  if (is_xpn(suite) && ssci.value() == 0) {
    return fail("SW-SCY-014", "XPN needs an SSCI", "number the SCIs from 1, the greatest first");
  }
  return {};
}

}  // namespace

Secy::Secy(const SecySettings& settings)
    : settings_(settings),
      protect_frames_(settings.protect_frames),
      validate_frames_(settings.validate_frames) {
  update_receive_scs();
}

Result<std::unique_ptr<Secy>> Secy::create(const SecySettings& settings) {
  if (settings.vlan_in_clear > 2) {
    return fail("SW-SCY-001", "more than two VLAN tags in clear");
  }
  if (settings.sci.value() == crypto::Sci::kReserved) {
    return fail("SW-SCY-002", "the all-ones SCI is reserved");
  }
  if (settings.include_sci && (settings.use_es || settings.use_scb)) {
    return fail("SW-SCY-003", "the SCI cannot be included with ES or SCB (802.1AE 9.5)",
                "turn off include-sci, or ES and SCB");
  }
  return std::unique_ptr<Secy>(new Secy(settings));
}

// Control has made sure that no worker runs the line any more.
Secy::~Secy() {
  for (auto& slot : receive_scs_) {
    std::unique_ptr<ReceiveSc> sc(slot.load(std::memory_order_relaxed));
    if (!sc) continue;
    for (auto& sa : sc->sas) delete sa.load(std::memory_order_relaxed);
  }
}

void Secy::set_protect_frames(bool on) { protect_frames_.store(on, std::memory_order_relaxed); }

void Secy::set_validate_frames(ValidateFrames how) {
  validate_frames_.store(how, std::memory_order_relaxed);
}

Result<std::unique_ptr<TransmitSa>> Secy::make_transmit_sa(TransmitSaSettings s) const {
  if (auto ok = check_sa(s.suite, s.confidentiality_offset, s.ssci, s.next_pn, s.key.get()); !ok) {
    return tl::unexpected(ok.error());
  }
  const std::uint64_t end = end_of(s.suite);
  auto sa = std::make_unique<TransmitSa>();
  sa->key = std::move(s.key);
  sa->sci = settings_.sci;
  sa->salt = s.salt;
  sa->ssci = s.ssci;
  sa->an = s.an.value();
  sa->tci_ec = s.confidentiality ? std::uint8_t{wire::kTciE | wire::kTciC} : 0;
  sa->offset = s.confidentiality ? s.confidentiality_offset : 0;
  sa->xpn = is_xpn(s.suite);
  sa->variant = !s.confidentiality ? MacsecVariant::integrity
                : sa->offset == 0  ? MacsecVariant::confidential
                                   : MacsecVariant::confidential_offset;
  sa->suite = s.suite;
  sa->next_pn.store(s.next_pn.value(), std::memory_order_relaxed);
  sa->limit.store(s.limit == 0 ? end : std::min(s.limit, end), std::memory_order_relaxed);
  return sa;
}

std::unique_ptr<TransmitSa> Secy::put_transmit_sa(std::unique_ptr<TransmitSa> sa, bool enabled) {
  const std::uint8_t an = sa->an;
  std::swap(transmit_sas_[an], sa);
  enabled_[an] = enabled;
  update_encoding();
  return sa;
}

Result<void> Secy::install_transmit_sa(TransmitSaSettings s) {
  if (transmit_sas_[s.an.value()]) {
    return fail("SW-SCY-010", "the association number has a transmit SA",
                "retire it first, or use the next association number");
  }
  auto sa = make_transmit_sa(std::move(s));
  if (!sa) return tl::unexpected(sa.error());
  put_transmit_sa(std::move(*sa), false);
  return {};
}

Result<void> Secy::enable_transmit(crypto::An an, bool on) {
  if (!transmit_sas_[an.value()]) return fail("SW-SCY-015", "no such transmit SA");
  enabled_[an.value()] = on;
  update_encoding();
  return {};
}

Result<void> Secy::set_encoding_sa(crypto::An an) {
  if (!transmit_sas_[an.value()]) return fail("SW-SCY-015", "no such transmit SA");
  encoding_an_ = an;
  update_encoding();
  return {};
}

Result<void> Secy::set_limit(crypto::An an, std::uint64_t limit) {
  TransmitSa* sa = transmit_sas_[an.value()].get();
  if (sa == nullptr) return fail("SW-SCY-015", "no such transmit SA");
  limit = std::min(limit, end_of(sa->suite));
  if (limit > sa->limit.load(std::memory_order_relaxed)) {
    sa->limit.store(limit, std::memory_order_relaxed);
  }
  return {};
}

std::unique_ptr<TransmitSa> Secy::retire_transmit_sa(crypto::An an) {
  std::unique_ptr<TransmitSa> sa = std::move(transmit_sas_[an.value()]);
  enabled_[an.value()] = false;
  update_encoding();
  return sa;
}

void Secy::update_encoding() {
  TransmitSa* sa = nullptr;
  if (encoding_an_ && enabled_[encoding_an_->value()]) {
    sa = transmit_sas_[encoding_an_->value()].get();
  }
  encoding_.store(sa, std::memory_order_release);
}

std::atomic<ReceiveSc*>* Secy::slot_of(crypto::Sci sci) {
  for (auto& slot : receive_scs_) {
    const ReceiveSc* sc = slot.load(std::memory_order_relaxed);
    if (sc != nullptr && sc->sci == sci) return &slot;
  }
  return nullptr;
}

Result<void> Secy::create_receive_sc(crypto::Sci sci) {
  if (sci == settings_.sci || slot_of(sci) != nullptr) {
    return fail("SW-SCY-020", "the SCI is in use", "each channel of a link has an SCI of its own");
  }
  for (auto& slot : receive_scs_) {
    if (slot.load(std::memory_order_relaxed) != nullptr) continue;
    slot.store(new ReceiveSc(sci), std::memory_order_release);
    update_receive_scs();
    return {};
  }
  return fail("SW-SCY-021", "no room for a further receive SC");
}

Secy::RetiredReceiveSc Secy::retire_receive_sc(crypto::Sci sci) {
  RetiredReceiveSc retired;
  auto* slot = slot_of(sci);
  if (slot == nullptr) return retired;
  retired.sc.reset(slot->exchange(nullptr, std::memory_order_acq_rel));
  for (std::size_t an = 0; an < retired.sas.size(); ++an) {
    retired.sas[an].reset(retired.sc->sas[an].exchange(nullptr, std::memory_order_acq_rel));
  }
  update_receive_scs();
  return retired;
}

// What depends on how many receive SCs there are: the search range, the SC of frames without an
// SCI, and whether ours is sent (10.5.3).
void Secy::update_receive_scs() {
  std::uint32_t used = 0, count = 0;
  ReceiveSc* only = nullptr;
  for (std::uint32_t i = 0; i < kMaxReceiveScs; ++i) {
    if (ReceiveSc* sc = receive_scs_[i].load(std::memory_order_relaxed)) {
      used = i + 1;
      only = sc;
      ++count;
    }
  }
  receive_scs_used_.store(used, std::memory_order_release);
  only_receive_sc_.store(count == 1 ? only : nullptr, std::memory_order_release);
  const bool sc = settings_.include_sci || (count > 1 && !settings_.use_es && !settings_.use_scb);
  transmit_tci_.store(
      static_cast<std::uint8_t>((sc ? wire::kTciSc : 0) | (settings_.use_es ? wire::kTciEs : 0) |
                                (settings_.use_scb ? wire::kTciScb : 0)),
      std::memory_order_relaxed);
}

Result<std::unique_ptr<ReceiveSa>> Secy::make_receive_sa(crypto::Sci sci,
                                                         ReceiveSaSettings s) const {
  if (auto ok = check_sa(s.suite, s.confidentiality_offset, s.ssci, s.lowest_pn, s.key.get());
      !ok) {
    return tl::unexpected(ok.error());
  }
  auto window = crypto::PnWindow::create({.xpn = is_xpn(s.suite),
                                          .replay_protect = settings_.replay_protect,
                                          .window = settings_.replay_window,
                                          .detect_duplicates = settings_.duplicate_bitmap &&
                                                               settings_.replay_protect &&
                                                               settings_.replay_window != 0,
                                          .lowest = s.lowest_pn});
  if (!window) return tl::unexpected(window.error());
  auto sa = std::make_unique<ReceiveSa>(std::move(*window));
  sa->key = std::move(s.key);
  sa->sci = sci;
  sa->salt = s.salt;
  sa->ssci = s.ssci;
  sa->an = s.an.value();
  sa->offset = s.confidentiality_offset;
  sa->xpn = is_xpn(s.suite);
  sa->suite = s.suite;
  return sa;
}

std::unique_ptr<ReceiveSa> Secy::put_receive_sa(std::unique_ptr<ReceiveSa> sa, bool in_use) {
  sa->sc = find_receive_sc(sa->sci.value());
  sa->in_use.store(in_use, std::memory_order_relaxed);
  auto& place = sa->sc->sas[sa->an];
  return std::unique_ptr<ReceiveSa>(place.exchange(sa.release(), std::memory_order_acq_rel));
}

Result<void> Secy::install_receive_sa(crypto::Sci sci, ReceiveSaSettings s) {
  const ReceiveSc* sc = find_receive_sc(sci.value());
  if (sc == nullptr) return fail("SW-SCY-022", "no such receive SC");
  if (sc->sas[s.an.value()].load(std::memory_order_relaxed) != nullptr) {
    return fail("SW-SCY-010", "the association number has a receive SA",
                "retire it first, or use the next association number");
  }
  auto sa = make_receive_sa(sci, std::move(s));
  if (!sa) return tl::unexpected(sa.error());
  put_receive_sa(std::move(*sa), false);
  return {};
}

Result<ReceiveSa*> Secy::receive_sa_of(crypto::Sci sci, crypto::An an) const {
  ReceiveSc* sc = find_receive_sc(sci.value());
  ReceiveSa* sa = sc == nullptr ? nullptr : sc->sas[an.value()].load(std::memory_order_relaxed);
  if (sa == nullptr) return fail("SW-SCY-023", "no such receive SA");
  return sa;
}

Result<void> Secy::enable_receive(crypto::Sci sci, crypto::An an, bool on) {
  auto sa = receive_sa_of(sci, an);
  if (!sa) return tl::unexpected(sa.error());
  (*sa)->in_use.store(on, std::memory_order_release);
  return {};
}

Result<void> Secy::raise_lowest_pn(crypto::Sci sci, crypto::An an, crypto::Pn lowest) {
  auto sa = receive_sa_of(sci, an);
  if (!sa) return tl::unexpected(sa.error());
  if (lowest.value() > (*sa)->lowest_wanted.load(std::memory_order_relaxed)) {
    (*sa)->lowest_wanted.store(lowest.value(), std::memory_order_relaxed);
  }
  return {};
}

std::unique_ptr<ReceiveSa> Secy::retire_receive_sa(crypto::Sci sci, crypto::An an) {
  ReceiveSc* sc = find_receive_sc(sci.value());
  if (sc == nullptr) return nullptr;
  return std::unique_ptr<ReceiveSa>(
      sc->sas[an.value()].exchange(nullptr, std::memory_order_acq_rel));
}

std::optional<TransmitSaStatus> Secy::transmit_sa(crypto::An an) const {
  const TransmitSa* sa = transmit_sas_[an.value()].get();
  if (sa == nullptr) return std::nullopt;
  const std::uint64_t next = sa->next_pn.load(std::memory_order_relaxed);
  return TransmitSaStatus{.an = an,
                          .enabled = enabled_[an.value()],
                          .encoding = encoding_sa() == sa,
                          .exhausted = next >= end_of(sa->suite),
                          .suite = sa->suite,
                          .confidentiality = sa->tci_ec != 0,
                          .offset = sa->offset,
                          .next_pn = next,
                          .limit = sa->limit.load(std::memory_order_relaxed),
                          .out_pkts = sa->out_pkts.read()};
}

std::optional<ReceiveSaStatus> Secy::receive_sa(crypto::Sci sci, crypto::An an) const {
  auto found = receive_sa_of(sci, an);
  if (!found) return std::nullopt;
  const ReceiveSa& sa = **found;
  return ReceiveSaStatus{.an = an,
                         .in_use = sa.in_use.load(std::memory_order_relaxed),
                         .suite = sa.suite,
                         .next_pn = sa.window.next().value(),
                         .lowest_pn = sa.window.lowest().value(),
                         .ok = sa.in_pkts_ok.read(),
                         .unchecked = sa.in_pkts_unchecked.read(),
                         .delayed = sa.in_pkts_delayed.read(),
                         .late = sa.in_pkts_late.read(),
                         .invalid = sa.in_pkts_invalid.read(),
                         .not_valid = sa.in_pkts_not_valid.read(),
                         .duplicate = sa.in_pkts_duplicate.read()};
}

const ReceiveScCounters* Secy::receive_sc_counters(crypto::Sci sci) const {
  const ReceiveSc* sc = find_receive_sc(sci.value());
  return sc == nullptr ? nullptr : &sc->counters;
}

}  // namespace sealwire::pipelines
