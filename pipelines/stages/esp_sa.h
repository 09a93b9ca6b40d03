// What both directions of ESP do with an SA: its AEAD operation, its lifetime, its events.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "crypto/aead.h"
#include "crypto/nonce.h"
#include "pipelines/tables/sad.h"
#include "pipelines/wire/be.h"

namespace sealwire::pipelines::esp {

inline bool is_aead(EspTransform transform) {
  return transform == EspTransform::gcm || transform == EspTransform::chacha ||
         transform == EspTransform::gmac;
}

// The operation over an ESP packet: [SPI SN][IV][`sealed` octets][ICV] at `esp`, its IV in place.
// The AAD of an AEAD with ESN is written to `aad`, which has room for it. GMAC wants it in one
// piece with what follows: `aad` is one word before `esp` then, so the header gives way meanwhile.
template <class Sa>
[[gnu::always_inline]] inline void fill_op(crypto::AeadOp& op, const Sa& sa, std::uint8_t* esp,
                                           std::uint32_t sealed, std::uint64_t sn,
                                           std::uint8_t* aad) {
  std::uint8_t* const iv = esp + 8;
  std::uint8_t* const data = iv + sa.iv_length;
  const EspTransform transform = sa.transform;
  const bool esn = sa.esn;
  op.key = sa.key;
  op.data = data;
  op.length = sealed;
  op.tag = data + sealed;
  op.aad = esp;
  op.aad_length = 8;
  if (!is_aead(transform)) {
    op.append_esn_high = esn;
    op.esn_high = static_cast<std::uint32_t>(sn >> 32);
    return;
  }
  crypto::nonce::esp(sa.salt, iv, op.iv);
  if (esn) {
    std::memcpy(aad, esp, 4);
    wire::store_be(aad + 4, sn);
    op.aad = aad;
    op.aad_length = kEsnAadLength;
  }
  if (transform == EspTransform::gmac) {
    op.aad_length += sa.iv_length + sealed;
    op.length = 0;
  }
}

constexpr std::uint8_t event_bit(SaEventKind kind) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(kind));
}

// Raises an event once; stays due while the ring is full.
template <class Sa>
void event(Sa& sa, SaEventKind kind) {
  if ((sa.runtime.raised & event_bit(kind)) != 0) return;
  if (raise_event(sa.events, sa.cookie, kind, std::is_same_v<Sa, InboundSa>))
    sa.runtime.raised = static_cast<std::uint8_t>(sa.runtime.raised | event_bit(kind));
}

// Not `spent`, and within the hard lifetime with one more packet of `octets`? Raises what became
// due, or is due still. In the turn that writes the SA's runtime.
template <class Sa>
bool within_lifetime(Sa& sa, bool spent, std::uint32_t octets) {
  if (!sa.limited) [[likely]]
    return true;
  const LifetimeLimits& limits = sa.lifetime;
  const std::uint64_t used_octets = sa.runtime.octets.read() + octets;
  const std::uint64_t used_packets = sa.runtime.packets.read() + 1;
  if (spent || (limits.hard_octets != 0 && used_octets > limits.hard_octets) ||
      (limits.hard_packets != 0 && used_packets > limits.hard_packets)) {
    event(sa, SaEventKind::hard);
    return false;
  }
  if (limits.soft_octets != 0 && used_octets >= limits.soft_octets)
    event(sa, SaEventKind::soft_octets);
  if (limits.soft_packets != 0 && used_packets >= limits.soft_packets)
    event(sa, SaEventKind::soft_packets);
  return true;
}

}  // namespace sealwire::pipelines::esp
