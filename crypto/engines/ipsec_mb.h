// Intel's multi-buffer library, called directly: GCM, GMAC and ChaCha20-Poly1305 packet by packet,
// CBC and HMAC in bursts over all packets of a batch that share an algorithm, whatever their keys.
#pragma once

#include <array>
#include <memory>
#include <string_view>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// Which of the library's implementations: the best for this processor, or a certain one (to
/// measure, and to test what other processors run). SHA-1 and SHA-256 use SHA-NI in all but avx512,
/// if the processor has it.
enum class IpsecMbCode : std::uint8_t { best, sse, avx, avx2, avx512 };
/// All but `best`, the narrowest first.
inline constexpr std::array kIpsecMbCodes{IpsecMbCode::sse, IpsecMbCode::avx, IpsecMbCode::avx2,
                                          IpsecMbCode::avx512};

/// As the engines are called: "ipsec-mb", and of a certain code "ipsec-mb-avx2" and so on.
std::string_view name_of(IpsecMbCode code);

/// Supports every Algorithm. Its keys are shared by all instances of one code in the process. Error
/// SW-CRY-030: the library or `code` cannot run on this processor, or the library's own self-test
/// failed.
Result<std::unique_ptr<EngineFactory>> make_ipsec_mb_factory(IpsecMbCode code = IpsecMbCode::best);

}  // namespace sealwire::crypto
