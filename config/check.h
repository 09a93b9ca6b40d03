#pragma once

// What the descriptor table cannot say: how values fit together.

#include "config/model.h"
#include "config/report.h"

namespace sealwire::config {

// Fills in what the document leaves to its reader: splits KEYMAT into key and salt, gives each
// outside port its SecY, pads CAKs, derives inbound selectors from policies. Reports what stands in
// the way.
void resolve(Document& document, Report& report);

// For SAs that come alone: splits KEYMAT; inbound SAs without selectors take those of `policies`
// that name them.
void resolve_sas(std::vector<EspSa>& sas, const std::vector<Policy>& policies,
                 std::string_view line, Report& report);

// The rules of SAs, with line.sas beside `others`: the SAs that stay, of the line (`same_line`) and
// of the other lines.
void check_sas(const Line& line, const std::vector<const EspSa*>& same_line,
               const std::vector<const EspSa*>& others, Report& report);

// The rules of line.policies, which may name `sas`.
void check_policies(const Line& line, const std::vector<EspSa>& sas, Report& report);

// The rules of static SAs, for one SecY of the line; its SAKs also against `running`.
void check_secy(const Document& running, const Line& line, const SecY& secy, Report& report);

// Reports every rule that the resolved document breaks, and the warnings.
void check(const Document& document, Report& report);

// The path of a SecY's settings: the section itself in the short form, else secys.PORT.
Path secy_path(const Line& line, const SecY& secy, const Report& report);

}  // namespace sealwire::config
