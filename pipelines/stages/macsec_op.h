// The AEAD operation of a MACsec frame, the same for sealing and opening (802.1AE §14.5, §14.6).
#pragma once

#include <algorithm>
#include <cstdint>

#include "crypto/aead.h"
#include "crypto/nonce.h"
#include "pipelines/burst.h"
#include "pipelines/wire/macsec.h"

namespace sealwire::pipelines::macsec {

inline constexpr std::uint32_t kAllClear = ~0U;  // integrity only

// `addresses` points at [DA SA][SecTAG][data][ICV] in one piece, with `secure_length` octets of
// data. The first `clear` of them (all, if there are fewer) are only authenticated. Sa: TransmitSa
// or ReceiveSa.
template <class Sa>
void fill_op(crypto::AeadOp& op, const Sa& sa, crypto::Pn pn, std::uint32_t secure_length,
             std::uint8_t* addresses, std::uint32_t tag_length, std::uint32_t clear) {
  const std::uint32_t front = wire::kMacAddressesLength + tag_length;
  clear = std::min(clear, secure_length);
  op.key = sa.key.get();
  op.aad = addresses;
  op.aad_length = front + clear;
  op.data = addresses + front + clear;
  op.length = secure_length - clear;
  op.tag = addresses + front + secure_length;
  if (sa.xpn) {
    crypto::nonce::macsec_xpn(sa.ssci, pn, sa.salt, op.iv);
  } else {
    crypto::nonce::macsec(sa.sci, pn, op.iv);
  }
}

}  // namespace sealwire::pipelines::macsec
