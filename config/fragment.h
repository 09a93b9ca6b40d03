#pragma once

// Parts of a line that change at run time, written as in the configuration: what `sealwire sa add`,
// `policy set` and `secy set` send. Checked against the running document by the same rules.

#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "config/model.h"

namespace sealwire::config {

// `line` holds only what the text said: sas, policies, or macsec with one SecY.
struct Fragment {
  Line line;
  std::vector<Mistake> mistakes;
  std::vector<Mistake> warnings;
  bool ok() const { return mistakes.empty(); }
};

// SAs, as under esp.sas. Their SPIs, and keys with salts, must differ from those of all SAs of the
// running document but the ones they replace: those of the same name in the same line when
// `replace`; without it a name in use is a mistake. Inbound selectors come from the SA itself, from
// the running policies that name it, or from the SA it replaces.
Fragment read_sas(const Document& running, std::string_view line, std::string_view text,
                  const std::string& source, bool replace);

// All policies of a line, as under esp.policies; they name SAs of the running document.
Fragment read_policies(const Document& running, std::string_view line, std::string_view text,
                       const std::string& source);

// The static tx and rx of a SecY, as under macsec (or macsec.secys.PORT); without sci it keeps its
// own. `port` may be empty when the line has one outside port. The suite and settings are the
// running line's. Result: line.macsec->secys[0].
Fragment read_secy(const Document& running, std::string_view line, std::string_view port,
                   std::string_view text, const std::string& source);

}  // namespace sealwire::config
