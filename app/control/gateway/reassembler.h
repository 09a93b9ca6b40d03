// Outer fragments to us become one packet again (RFC 4301 §7: reassemble before ESP).
#pragma once

#include <rte_ip_frag.h>

#include <cstdint>

#include "app/control/gateway/outlet.h"

namespace sealwire::control::gateway {

class Reassembler {
 public:
  explicit Reassembler(Context& context);
  ~Reassembler();
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  /// Takes a fragment; the whole packet goes back to ingress when it is complete.
  void take(rte_mbuf* m, const pipelines::PuntMark& mark);
  void tick();

 private:
  rte_mbuf* collect(rte_mbuf* m);

  Context& context_;
  rte_ip_frag_tbl* table_;
  rte_ip_frag_death_row dead_{};
};

}  // namespace sealwire::control::gateway
