#pragma once

namespace sealwire::config {

// Of both programs; meson.build says it too.
inline constexpr const char* kVersion = "0.1.0";

}  // namespace sealwire::config
