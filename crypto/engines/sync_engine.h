// What engines without a device have in common: everything is done within submit().
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// An engine that finishes in submit(). The `auto` engine composes these by run().
class SyncEngine : public Engine {
 public:
  /// Does `ops` (at most AeadBatch::kCapacity, all in one direction, well formed and with keys of
  /// this engine's family) and sets the status of each, never to pending.
  virtual void run(std::span<AeadOp* const> ops, Direction direction) noexcept = 0;

  void submit(AeadBatch& batch) noexcept final {
    AeadOp* ops[AeadBatch::kCapacity];
    std::size_t good = 0;
    for (std::uint16_t i = 0; i < batch.count; ++i) {
      AeadOp& op = batch.ops[i];
      if (well_formed(op, family_)) {
        ops[good++] = &op;
      } else {
        op.status = OpStatus::error;
      }
    }
    if (good != 0) run({ops, good}, batch.direction);
    batch.pending = 0;
  }

  bool poll(AeadBatch& batch) noexcept final { return batch.pending == 0; }

 protected:
  explicit SyncEngine(const void* family) noexcept : family_(family) {}
  /// What marks its keys: AeadKey::family().
  const void* family() const noexcept { return family_; }

 private:
  const void* const family_;
};

/// Zeroes the data of an operation that failed to verify, so that nothing unauthenticated can
/// leave, and says so.
inline void reject_tag(AeadOp& op) noexcept {
  if (op.key->info().confidential && op.length != 0) wipe(op.data, op.length);
  op.status = OpStatus::bad_tag;
}

/// The octets that the HMAC of `op` covers: they are contiguous (see AeadOp), without the ESN's
/// high word.
inline std::span<std::uint8_t> hmac_input(const AeadOp& op) noexcept {
  return {op.aad, static_cast<std::size_t>(op.tag - op.aad)};
}

/// Big-endian octets of the ESN's high word.
inline void store_esn_high(std::uint32_t esn_high, std::uint8_t* out4) noexcept {
  out4[0] = static_cast<std::uint8_t>(esn_high >> 24);
  out4[1] = static_cast<std::uint8_t>(esn_high >> 16);
  out4[2] = static_cast<std::uint8_t>(esn_high >> 8);
  out4[3] = static_cast<std::uint8_t>(esn_high);
}

}  // namespace sealwire::crypto
