// Known-answer self-test: run on every engine before any traffic; a failure means the daemon does
// not forward.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// One operation and what must come of it. All strings are hex.
struct KnownAnswer {
  Algorithm algorithm;
  std::string_view key;  ///< cipher key || HMAC key
  std::string_view iv;   ///< 12-octet nonce; CBC: the 16-octet counter block; NULL: empty
  std::string_view aad;
  std::string_view plain;
  std::string_view sealed;  ///< ciphertext; CBC: wire IV || ciphertext
  std::string_view tag;
  std::optional<std::uint32_t> esn_high;  ///< appended to the HMAC's input
};

/// At least one answer for every Algorithm, from the standards named beside each.
std::span<const KnownAnswer> known_answers();

/// Runs every answer whose algorithm `engine` supports: seal, open, and open with a tag, ciphertext
/// and AAD that are wrong in one bit, alone and in a full batch. Errors: SW-CRY-040 (names engine,
/// algorithm and step), SW-CRY-041 (a supported algorithm has no answer in `answers`), SW-CRY-042
/// (the engine does not answer within a few seconds; it must be destroyed before anything else).
/// Control path.
Result<void> self_test(Engine& engine, std::span<const KnownAnswer> answers = known_answers());

}  // namespace sealwire::crypto
