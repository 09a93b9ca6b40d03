// Result<T>: how the control path reports failure. The data path uses verdicts instead and never
// sees this type.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace sealwire {

// What went wrong, for a person and for a program. Never holds key material.
struct Error {
  std::string id;       // stable, never reused: "SW-CFG-012", "SW-CRY-003"
  std::string message;  // what happened, one line, without a full stop
  std::string remedy;   // what to do about it; empty when there is nothing to advise
};

// A value, or the Error that prevented it. Factories return it instead of throwing.
template <class T>
using Result = tl::expected<T, Error>;

// `return fail("SW-CRY-001", "key has 15 bytes, not 16", "...");` from any function that returns a
// Result.
inline tl::unexpected<Error> fail(std::string id, std::string message, std::string remedy = {}) {
  return tl::unexpected<Error>(Error{std::move(id), std::move(message), std::move(remedy)});
}

}  // namespace sealwire
