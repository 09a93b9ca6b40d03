// Any text is a configuration or is refused with places: no crash, no endless work, no half a
// position.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/diff.h"
#include "config/fragment.h"
#include "config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sealwire::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // file: and env: would read this machine's files.
  if (text.find("file:") != text.npos || text.find("env:") != text.npos) return 0;
  const Loaded loaded = load_text(text, "fuzz.yaml");
  for (const auto* list : {&loaded.mistakes, &loaded.warnings})
    for (const Mistake& mistake : *list)
      if (mistake.line < 1 || mistake.column < 1 || to_string(mistake).empty()) std::abort();
  if (!loaded.ok()) return 0;
  if (!diff(loaded.document, loaded.document).empty()) std::abort();
  for (const Line& line : loaded.document.lines) {
    const Line copy = clone(line);
    if (copy.sas.size() != line.sas.size()) std::abort();
    read_sas(loaded.document, line.name, text, "fuzz", true);
  }
  return 0;
}
