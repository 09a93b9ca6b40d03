// Our own AES-GCM for bursts of packets: the code for each kind of processor, behind one table.
#pragma once

#include <span>

#include "crypto/aead.h"
#include "crypto/batch_gcm/schedule.h"

namespace sealwire::crypto::batch_gcm {

/// A key of this engine: AES-GCM and AES-GMAC, all key lengths.
class Key final : public AeadKey {
 public:
  Key(Algorithm algorithm, const void* family) noexcept : AeadKey(algorithm, family) {}
  Schedule schedule;
};

/// The code for one kind of processor. `seal` and `open` take any number of operations, each with
/// its own key and length; every operation's key must be a Key. They set the status, and zero the
/// data of a wrong tag.
struct Kernel {
  const char* name;
  void (*expand)(Schedule& schedule, std::span<const std::uint8_t> key);
  bool (*supported)();  ///< whether this processor can run it
  void (*seal)(std::span<AeadOp* const> ops);
  void (*open)(std::span<AeadOp* const> ops);
};

extern const Kernel kAesni;    ///< AES-NI, PCLMULQDQ, SSE4.1
extern const Kernel kVaes512;  ///< VAES, VPCLMULQDQ, AVX-512

}  // namespace sealwire::crypto::batch_gcm
