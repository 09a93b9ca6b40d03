#pragma once

// Profiles of well-known far ends: the defaults that they need, and what they cannot do.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.h"
#include "config/report.h"
#include "config/scalar.h"

namespace sealwire::config {

struct Profile {
  std::string name;
  std::string doc;    // what the far end is
  std::string needs;  // what it requires, for the reference and for refusals
  void (*macsec_defaults)(Macsec&);
  void (*mka_defaults)(Mka&, LinkSpeed);
  // Refuses what the far end cannot do. `path` is the line's.
  void (*check)(const Line&, const Path& path, Report&);
};

const std::vector<Profile>& all_profiles();
const Profile* find_profile(std::string_view name);  // nullptr: none of that name
Scalar<std::string> profile_name();

}  // namespace sealwire::config
