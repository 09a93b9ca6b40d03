#include "app/control/mka/mkpdu.h"

#include <utility>

namespace sealwire::mka {
namespace {

constexpr size_t kEthernetHeader = 14;
constexpr size_t kEapolHeader = 4;
constexpr uint8_t kEapolVersion = 3;
constexpr uint8_t kEapolMka = 5;
constexpr size_t kMinBody = 32;
constexpr size_t kSetHeader = 4;
constexpr size_t kBasicFixedBody = 28;  // SCI, MI, MN, algorithm agility
constexpr size_t kSakUseBody = 40;
constexpr size_t kXpnBody = 8;

enum SetType : uint8_t {
  kLivePeerList = 1,
  kPotentialPeerList = 2,
  kSakUse = 3,
  kDistributedSak = 4,
  kXpn = 8,
  kIcvIndicator = 255
};

constexpr uint64_t kSuiteGcmAes128 = 0x0080C20001000001;
// The misprint of 802.1AE-2006, still the default of Linux and of hostap.
constexpr uint64_t kSuiteGcmAes128Misprint = 0x0080020001000001;
constexpr uint64_t kSuiteGcmAes256 = 0x0080C20001000002;
constexpr uint64_t kSuiteGcmAesXpn128 = 0x0080C20001000003;
constexpr uint64_t kSuiteGcmAesXpn256 = 0x0080C20001000004;

std::optional<CipherSuite> suite_from(uint64_t id) {
  switch (id) {
    case kSuiteGcmAes128:
    case kSuiteGcmAes128Misprint:
      return CipherSuite::gcm_aes_128;
    case kSuiteGcmAes256:
      return CipherSuite::gcm_aes_256;
    case kSuiteGcmAesXpn128:
      return CipherSuite::gcm_aes_xpn_128;
    case kSuiteGcmAesXpn256:
      return CipherSuite::gcm_aes_xpn_256;
    default:
      return std::nullopt;
  }
}

uint64_t suite_id(CipherSuite suite) {
  switch (suite) {
    case CipherSuite::gcm_aes_128:
      return kSuiteGcmAes128;
    case CipherSuite::gcm_aes_256:
      return kSuiteGcmAes256;
    case CipherSuite::gcm_aes_xpn_128:
      return kSuiteGcmAesXpn128;
    case CipherSuite::gcm_aes_xpn_256:
      return kSuiteGcmAesXpn256;
  }
  return 0;
}

constexpr size_t padded(size_t length) { return (length + 3) & ~size_t{3}; }

uint64_t read(std::span<const uint8_t> from, size_t offset, size_t octets) {
  uint64_t value = 0;
  for (size_t i = 0; i < octets; ++i) value = value << 8 | from[offset + i];
  return value;
}
uint32_t read32(std::span<const uint8_t> from, size_t offset) {
  return static_cast<uint32_t>(read(from, offset, 4));
}
Mi read_mi(std::span<const uint8_t> from, size_t offset) {
  Mi mi;
  std::copy_n(from.begin() + static_cast<ptrdiff_t>(offset), mi.size(), mi.begin());
  return mi;
}
size_t set_body_length(std::span<const uint8_t> header) {
  return (header[2] & 0x0Fu) << 8 | header[3];
}

class Writer {
 public:
  explicit Writer(std::vector<uint8_t>& out) : out_(out) {}
  void put(uint64_t value, size_t octets) {
    for (size_t i = octets; i-- > 0;) out_.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  void put(std::span<const uint8_t> octets) {
    out_.insert(out_.end(), octets.begin(), octets.end());
  }
  /// Parameter set header (Figure 11-8..): type, octet 2, four flag bits, 12-bit body length.
  void header(uint8_t type, uint8_t octet_2, uint8_t flags, size_t body) {
    put(type, 1);
    put(octet_2, 1);
    put(static_cast<uint8_t>(flags | (body >> 8 & 0x0F)), 1);
    put(body & 0xFF, 1);
  }
  void pad_to_4(size_t since) {
    while ((out_.size() - since) % 4 != 0) out_.push_back(0);
  }
  size_t at() const { return out_.size(); }

 private:
  std::vector<uint8_t>& out_;
};

tl::unexpected<Reject> reject(Reject reason) { return tl::unexpected<Reject>(reason); }

bool parse_members(std::span<const uint8_t> body, std::vector<MemberEntry>& out) {
  constexpr size_t kEntry = 16;
  if (body.size() % kEntry != 0) return false;
  out.reserve(body.size() / kEntry);
  for (size_t at = 0; at < body.size(); at += kEntry) {
    out.push_back({read_mi(body, at), read32(body, at + 12)});
  }
  return true;
}

bool parse_sak_use(std::span<const uint8_t> header, std::span<const uint8_t> body, uint8_t version,
                   std::optional<SakUseSet>& out) {
  SakUseSet set;
  set.latest_an = An(header[1] >> 6);
  set.latest_tx = (header[1] & 0x20) != 0;
  set.latest_rx = (header[1] & 0x10) != 0;
  set.old_an = An(header[1] >> 2 & 3);
  set.old_tx = (header[1] & 0x02) != 0;
  set.old_rx = (header[1] & 0x01) != 0;
  set.plain_tx = (header[2] & 0x80) != 0;
  set.plain_rx = (header[2] & 0x40) != 0;
  set.delay_protect = (header[2] & 0x10) != 0;
  if (body.empty()) {
    set.macsec_supported = false;
    out = set;
    return true;
  }
  // §11.11.3: a later version may append to a set.
  if (body.size() != kSakUseBody && !(version > kMkaVersion && body.size() > kSakUseBody))
    return false;
  set.latest = {read_mi(body, 0), read32(body, 12)};
  set.latest_lpn = read32(body, 16);
  set.old = {read_mi(body, 20), read32(body, 32)};
  set.old_lpn = read32(body, 36);
  out = set;
  return true;
}

bool parse_distributed_sak(std::span<const uint8_t> header, std::span<const uint8_t> body,
                           std::optional<DistributedSakSet>& out) {
  DistributedSakSet set;
  set.an = An(header[1] >> 6);
  set.confidentiality = static_cast<Confidentiality>(header[1] >> 4 & 3);
  switch (body.size()) {
    case 0:
      set.plain = true;
      break;
    case 28:  // KN, wrapped 16-octet SAK of the default suite
      set.kn = read32(body, 0);
      set.suite = CipherSuite::gcm_aes_128;
      set.wrapped.assign(body.begin() + 4, body.end());
      break;
    case 36:
    case 52: {  // KN, suite id, wrapped SAK of 16 or 32 octets
      set.kn = read32(body, 0);
      set.suite = suite_from(read(body, 4, 8));
      if (!set.suite) break;
      if (body.size() - 12 != sak_length(*set.suite) + 8) return false;
      set.wrapped.assign(body.begin() + 12, body.end());
      break;
    }
    default:
      return false;
  }
  if (!set.plain && set.kn == 0) return false;
  out = std::move(set);
  return true;
}

void put_members(Writer& writer, uint8_t type, uint8_t octet_2,
                 const std::vector<MemberEntry>& members) {
  if (members.empty()) return;
  writer.header(type, octet_2, 0, members.size() * 16);
  for (const MemberEntry& member : members) {
    writer.put(member.mi);
    writer.put(member.mn, 4);
  }
}

void put_basic(Writer& writer, const BasicSet& basic) {
  const size_t begin = writer.at();
  const auto flags =
      static_cast<uint8_t>((basic.key_server ? 0x80 : 0) | (basic.macsec_desired ? 0x40 : 0) |
                           static_cast<uint8_t>(basic.capability) << 4);
  writer.header(basic.version, basic.priority, flags, kBasicFixedBody + basic.ckn.size());
  writer.put(basic.sci.value(), 8);
  writer.put(basic.mi);
  writer.put(basic.mn, 4);
  writer.put(kAlgorithmAgility, 4);
  writer.put(basic.ckn.view());
  // The padding follows the CKN and is not counted in the body length: a CKN keeps its own length.
  writer.pad_to_4(begin);
}

void put_sak_use(Writer& writer, const SakUseSet& set) {
  const auto octet_2 = static_cast<uint8_t>(
      set.latest_an.value() << 6 | (set.latest_tx ? 0x20 : 0) | (set.latest_rx ? 0x10 : 0) |
      set.old_an.value() << 2 | (set.old_tx ? 0x02 : 0) | (set.old_rx ? 0x01 : 0));
  const auto flags = static_cast<uint8_t>((set.plain_tx ? 0x80 : 0) | (set.plain_rx ? 0x40 : 0) |
                                          (set.delay_protect ? 0x10 : 0));
  writer.header(kSakUse, octet_2, flags, set.macsec_supported ? kSakUseBody : 0);
  if (!set.macsec_supported) return;
  writer.put(set.latest.mi);
  writer.put(set.latest.kn, 4);
  writer.put(set.latest_lpn, 4);
  writer.put(set.old.mi);
  writer.put(set.old.kn, 4);
  writer.put(set.old_lpn, 4);
}

void put_distributed_sak(Writer& writer, const DistributedSakSet& set) {
  const auto octet_2 =
      static_cast<uint8_t>(set.an.value() << 6 | static_cast<uint8_t>(set.confidentiality) << 4);
  if (set.plain || !set.suite) {
    writer.header(kDistributedSak, octet_2, 0, 0);
    return;
  }
  const bool default_suite = *set.suite == CipherSuite::gcm_aes_128;
  writer.header(kDistributedSak, octet_2, 0, 4 + (default_suite ? 0 : 8) + set.wrapped.size());
  writer.put(set.kn, 4);
  if (!default_suite) writer.put(suite_id(*set.suite), 8);
  writer.put(set.wrapped);
}

}  // namespace

std::string_view name(Reject reason) {
  switch (reason) {
    case Reject::not_eapol:
      return "not-eapol";
    case Reject::individual_destination:
      return "individual-destination";
    case Reject::own_source:
      return "own-source";
    case Reject::truncated:
      return "truncated";
    case Reject::too_short:
      return "too-short";
    case Reject::not_multiple_of_4:
      return "not-multiple-of-4";
    case Reject::bad_basic_set:
      return "bad-basic-set";
    case Reject::bad_ckn_length:
      return "bad-ckn-length";
    case Reject::bad_version:
      return "bad-version";
    case Reject::unknown_agility:
      return "unknown-agility";
    case Reject::unknown_ckn:
      return "unknown-ckn";
    case Reject::bad_icv:
      return "bad-icv";
    case Reject::bad_parameter_set:
      return "bad-parameter-set";
    case Reject::replayed:
      return "replayed";
    case Reject::retired_member:
      return "retired-member";
    case Reject::too_many_members:
      return "too-many-members";
    case Reject::count:
      break;
  }
  return "";
}

tl::expected<Envelope, Reject> parse_envelope(std::span<const uint8_t> frame, uint16_t ether_type) {
  if (frame.size() < kEthernetHeader + kEapolHeader) return reject(Reject::truncated);
  Envelope out;
  std::copy_n(frame.begin(), 6, out.destination.begin());
  std::copy_n(frame.begin() + 6, 6, out.source.begin());
  if (read(frame, 12, 2) != ether_type || frame[15] != kEapolMka) return reject(Reject::not_eapol);
  // §11.11.2 a). Any group address will do: carriers and peers override the PAE group address.
  if ((out.destination[0] & 1) == 0) return reject(Reject::individual_destination);

  const auto body_length = static_cast<size_t>(read(frame, 16, 2));
  if (body_length < kMinBody) return reject(Reject::too_short);
  if (body_length % 4 != 0) return reject(Reject::not_multiple_of_4);
  constexpr size_t kBody = kEthernetHeader + kEapolHeader;
  if (frame.size() - kBody < body_length) return reject(Reject::truncated);
  const auto body = frame.subspan(kBody, body_length);
  out.authenticated = frame.first(kBody + body_length - kIcvLength);
  out.icv = body.last(kIcvLength);
  const auto sets = body.first(body_length - kIcvLength);

  BasicSet& basic = out.basic;
  basic.version = body[0];
  basic.priority = body[1];
  basic.key_server = (body[2] & 0x80) != 0;
  basic.macsec_desired = (body[2] & 0x40) != 0;
  basic.capability = static_cast<Capability>(body[2] >> 4 & 3);
  if (basic.version == 0) return reject(Reject::bad_version);
  const size_t basic_body = set_body_length(body);
  if (basic_body < kBasicFixedBody || kSetHeader + padded(basic_body) > sets.size()) {
    return reject(Reject::bad_basic_set);
  }
  basic.sci = Sci(read(body, 4, 8));
  basic.mi = read_mi(body, 12);
  basic.mn = read32(body, 24);
  if (read32(body, 28) != kAlgorithmAgility) return reject(Reject::unknown_agility);
  const auto ckn =
      Ckn::from(body.subspan(kSetHeader + kBasicFixedBody, basic_body - kBasicFixedBody));
  if (!ckn) return reject(Reject::bad_ckn_length);
  basic.ckn = *ckn;
  // An all-ones SCI is reserved (802.1AE §9.9); MN counts from 1 (§9.4.2).
  if (basic.sci.value() == Sci::kReserved || basic.mn == 0) return reject(Reject::bad_basic_set);
  out.sets = sets.subspan(kSetHeader + padded(basic_body));
  return out;
}

tl::expected<Mkpdu, Reject> parse_sets(const Envelope& envelope) {
  Mkpdu out;
  out.basic = envelope.basic;
  bool live_seen = false, potential_seen = false;
  auto rest = envelope.sets;
  while (!rest.empty()) {
    if (rest.size() < kSetHeader) return reject(Reject::bad_parameter_set);
    const auto header = rest.first(kSetHeader);
    const size_t length = set_body_length(header);
    if (header[0] == kIcvIndicator) {
      // Its body is the ICV itself, already cut off: nothing may be left between.
      if (length != kIcvLength || rest.size() != kSetHeader)
        return reject(Reject::bad_parameter_set);
      break;
    }
    if (rest.size() - kSetHeader < padded(length)) return reject(Reject::bad_parameter_set);
    const auto body = rest.subspan(kSetHeader, length);
    bool good = true;
    switch (header[0]) {
      case kLivePeerList:
        good = !std::exchange(live_seen, true) && parse_members(body, out.live);
        out.key_server_ssci = header[1];
        break;
      case kPotentialPeerList:
        good = !std::exchange(potential_seen, true) && parse_members(body, out.potential);
        break;
      case kSakUse:
        good = !out.sak_use && parse_sak_use(header, body, out.basic.version, out.sak_use);
        break;
      case kDistributedSak:
        good = !out.distributed_sak && parse_distributed_sak(header, body, out.distributed_sak);
        break;
      case kXpn:
        good = !out.xpn && body.size() >= kXpnBody;
        if (good) out.xpn = XpnSet{header[1], read32(body, 0), read32(body, 4)};
        break;
      default:
        break;  // distributed CAK, KMD, announcements, later versions' sets: not for us (§11.11.3)
    }
    if (!good) return reject(Reject::bad_parameter_set);
    rest = rest.subspan(kSetHeader + padded(length));
  }
  return out;
}

std::vector<uint8_t> build_without_icv(const Mkpdu& mkpdu, const BuildOptions& options) {
  std::vector<uint8_t> out;
  Writer writer(out);
  writer.put(options.destination);
  writer.put(options.source);
  writer.put(options.ether_type, 2);
  writer.put(kEapolVersion, 1);
  writer.put(kEapolMka, 1);
  writer.put(0, 2);  // body length, below
  put_basic(writer, mkpdu.basic);
  put_members(writer, kLivePeerList, mkpdu.key_server_ssci, mkpdu.live);
  put_members(writer, kPotentialPeerList, 0, mkpdu.potential);
  if (mkpdu.sak_use) put_sak_use(writer, *mkpdu.sak_use);
  if (mkpdu.distributed_sak) put_distributed_sak(writer, *mkpdu.distributed_sak);
  if (mkpdu.xpn) {
    writer.header(kXpn, mkpdu.xpn->suspension_time, 0, kXpnBody);
    writer.put(mkpdu.xpn->latest_lpn_high, 4);
    writer.put(mkpdu.xpn->old_lpn_high, 4);
  }
  if (options.icv_indicator) writer.header(kIcvIndicator, 0, 0, kIcvLength);
  const size_t body = out.size() - kEthernetHeader - kEapolHeader + kIcvLength;
  out[16] = static_cast<uint8_t>(body >> 8);
  out[17] = static_cast<uint8_t>(body);
  return out;
}

}  // namespace sealwire::mka
