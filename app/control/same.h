// Whether two items of a configuration mean the same; keys are compared in constant time.
#pragma once

#include <vector>

#include "config/model.h"

namespace sealwire::control {

bool same(const config::Secret& a, const config::Secret& b);
bool same(const config::EspSa& a, const config::EspSa& b);
bool same(const config::Policy& a, const config::Policy& b);
bool same(const config::MacsecSa& a, const config::MacsecSa& b);
bool same(const config::ReceiveChannel& a, const config::ReceiveChannel& b);
bool same(const config::SecY& a, const config::SecY& b);  // without mka
bool same(const config::MkaKey& a, const config::MkaKey& b);
bool same_but_keys(const config::Mka& a, const config::Mka& b);
bool same(const config::Mka& a, const config::Mka& b);
bool same(const config::Gateway& a, const config::Gateway& b);
bool same(const config::Port& a, const config::Port& b);

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) return false;
  }
  return true;
}

template <class T>
bool same(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a || same(*a, *b));
}

// Explicit copies: secrets do not copy by themselves.
config::Secret clone(const config::Secret& secret);
config::EspSa clone(const config::EspSa& sa);
config::MacsecSa clone(const config::MacsecSa& sa);
config::SecY clone(const config::SecY& secy);  // without mka

}  // namespace sealwire::control
