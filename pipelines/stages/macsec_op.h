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

// `addresses` points at [DA SA][SecTAG][data][ICV] in one piece; `p.pn` and `p.secure_length` are
// set. The first `clear` octets of the data (all, if there are fewer) are only authenticated.
// Sa: TransmitSa or ReceiveSa.
template <class Sa>
void fill_op(crypto::AeadOp& op, const Sa& sa, const Packet& p, std::uint8_t* addresses,
             std::uint16_t tag_length, std::uint32_t clear) {
  std::uint8_t* const data = addresses + wire::kMacAddressesLength + tag_length;
  clear = std::min<std::uint32_t>(clear, p.secure_length);
  op.key = sa.key.get();
  op.aad = addresses;
  op.aad_length = wire::kMacAddressesLength + tag_length + clear;
  op.data = data + clear;
  op.length = p.secure_length - clear;
  op.tag = data + p.secure_length;
  if (sa.xpn) {
    crypto::nonce::macsec_xpn(sa.ssci, crypto::Pn(p.pn), sa.salt, op.iv);
  } else {
    crypto::nonce::macsec(sa.sci, crypto::Pn(p.pn), op.iv);
  }
}

}  // namespace sealwire::pipelines::macsec
