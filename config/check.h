#pragma once

// What the descriptor table cannot say: how values fit together.

#include "config/model.h"
#include "config/report.h"

namespace sealwire::config {

// Fills in what the document leaves to its reader: splits KEYMAT into key and salt, gives each
// outside port its SecY, pads CAKs, derives inbound selectors from policies. Reports what stands in
// the way.
void resolve(Document& document, Report& report);

// Reports every rule that the resolved document breaks, and the warnings.
void check(const Document& document, Report& report);

// Octets that MACsec adds to a frame of this line: 24, or 32 with the SCI.
std::uint16_t macsec_overhead(const Macsec& macsec);

// The path of a SecY's settings: the section itself in the short form, else secys.PORT.
Path secy_path(const Line& line, const SecY& secy, const Report& report);

}  // namespace sealwire::config
