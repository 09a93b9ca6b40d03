// The KaY's SecyPort on the real SecY tables of a line. Control thread only; what workers may still
// look at goes through the Publisher's grace period.
#pragma once

#include "app/control/mka/secy_port.h"
#include "app/control/publisher.h"
#include "crypto/aead.h"
#include "pipelines/tables/secy.h"

namespace sealwire::control {

class TableSecy final : public mka::SecyPort {
 public:
  /// All references outlive this. `engine` makes keys that the line's workers understand. The
  /// SecY's own protectFrames and validateFrames are what it has when secured.
  TableSecy(pipelines::Secy& secy, crypto::Engine& engine, Publisher& publisher)
      : secy_(secy), engine_(engine), publisher_(publisher) {}

  void set_port_state(mka::PortState state) override;
  Result<void> create_receive_sc(crypto::Sci sci) override;
  void delete_receive_sc(crypto::Sci sci) override;
  Result<void> create_receive_sa(crypto::Sci sci, crypto::An an,
                                 const mka::SaParameters& parameters) override;
  Result<void> enable_receive_sa(crypto::Sci sci, crypto::An an) override;
  void delete_receive_sa(crypto::Sci sci, crypto::An an) override;
  Result<void> create_transmit_sa(crypto::An an, const mka::SaParameters& parameters) override;
  Result<void> enable_transmit_sa(crypto::An an) override;
  void delete_transmit_sa(crypto::An an) override;
  crypto::Pn next_pn(crypto::An an) override;
  crypto::Pn lowest_pn(crypto::Sci sci, crypto::An an) override;
  void raise_lowest_pn(crypto::Sci sci, crypto::An an, crypto::Pn pn) override;

 private:
  Result<std::unique_ptr<crypto::AeadKey>> make_key(const mka::SaParameters& parameters, bool seal);

  pipelines::Secy& secy_;
  crypto::Engine& engine_;
  Publisher& publisher_;
};

}  // namespace sealwire::control
