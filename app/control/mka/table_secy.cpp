#include "app/control/mka/table_secy.h"

#include <memory>
#include <utility>

namespace sealwire::control {
namespace {

using pipelines::CipherSuite;

CipherSuite suite_of(mka::CipherSuite suite) {
  switch (suite) {
    case mka::CipherSuite::gcm_aes_128:
      return CipherSuite::gcm_aes_128;
    case mka::CipherSuite::gcm_aes_256:
      return CipherSuite::gcm_aes_256;
    case mka::CipherSuite::gcm_aes_xpn_128:
      return CipherSuite::gcm_aes_xpn_128;
    case mka::CipherSuite::gcm_aes_xpn_256:
      return CipherSuite::gcm_aes_xpn_256;
  }
  return CipherSuite::gcm_aes_256;
}

std::uint8_t offset_of(mka::Confidentiality confidentiality) {
  switch (confidentiality) {
    case mka::Confidentiality::offset_30:
      return 30;
    case mka::Confidentiality::offset_50:
      return 50;
    default:
      return 0;
  }
}

}  // namespace

void TableSecy::set_port_state(mka::PortState state) {
  using pipelines::ValidateFrames;
  const pipelines::SecySettings& settings = secy_.settings();
  switch (state) {
    case mka::PortState::blocked:
      // Protecting without a transmit SA drops, and strict takes no frame without a SecTAG.
      secy_.set_protect_frames(true);
      secy_.set_validate_frames(ValidateFrames::strict);
      break;
    case mka::PortState::cleartext:
      secy_.set_validate_frames(ValidateFrames::check);
      secy_.set_protect_frames(false);
      break;
    case mka::PortState::secured:
      secy_.set_protect_frames(settings.protect_frames);
      secy_.set_validate_frames(settings.validate_frames);
      break;
  }
}

Result<void> TableSecy::create_receive_sc(crypto::Sci sci) { return secy_.create_receive_sc(sci); }

void TableSecy::delete_receive_sc(crypto::Sci sci) {
  publisher_.retire(
      std::make_shared<pipelines::Secy::RetiredReceiveSc>(secy_.retire_receive_sc(sci)));
}

Result<std::unique_ptr<crypto::AeadKey>> TableSecy::make_key(const mka::SaParameters& parameters,
                                                             bool seal) {
  crypto::KeyUse use;
  use.seal = seal;
  use.open = !seal;
  return engine_.make_key(pipelines::algorithm_of(suite_of(parameters.suite)), parameters.sak, use);
}

Result<void> TableSecy::create_receive_sa(crypto::Sci sci, crypto::An an,
                                          const mka::SaParameters& parameters) {
  auto key = make_key(parameters, false);
  if (!key) return tl::unexpected(key.error());
  pipelines::ReceiveSaSettings settings;
  settings.an = an;
  settings.suite = suite_of(parameters.suite);
  settings.confidentiality_offset = offset_of(parameters.confidentiality);
  settings.salt = parameters.salt;
  settings.ssci = parameters.ssci;
  settings.key = std::move(*key);
  return secy_.install_receive_sa(sci, std::move(settings));
}

Result<void> TableSecy::enable_receive_sa(crypto::Sci sci, crypto::An an) {
  return secy_.enable_receive(sci, an, true);
}

void TableSecy::delete_receive_sa(crypto::Sci sci, crypto::An an) {
  publisher_.retire_unique(secy_.retire_receive_sa(sci, an));
}

Result<void> TableSecy::create_transmit_sa(crypto::An an, const mka::SaParameters& parameters) {
  auto key = make_key(parameters, true);
  if (!key) return tl::unexpected(key.error());
  pipelines::TransmitSaSettings settings;
  settings.an = an;
  settings.suite = suite_of(parameters.suite);
  settings.confidentiality = parameters.confidentiality != mka::Confidentiality::integrity_only;
  settings.confidentiality_offset = offset_of(parameters.confidentiality);
  settings.salt = parameters.salt;
  settings.ssci = parameters.ssci;
  settings.key = std::move(*key);
  return secy_.install_transmit_sa(std::move(settings));
}

Result<void> TableSecy::enable_transmit_sa(crypto::An an) {
  if (auto enabled = secy_.enable_transmit(an, true); !enabled) return enabled;
  return secy_.set_encoding_sa(an);
}

void TableSecy::delete_transmit_sa(crypto::An an) {
  publisher_.retire_unique(secy_.retire_transmit_sa(an));
}

crypto::Pn TableSecy::next_pn(crypto::An an) {
  const auto status = secy_.transmit_sa(an);
  return crypto::Pn(status ? status->next_pn : 0);
}

crypto::Pn TableSecy::lowest_pn(crypto::Sci sci, crypto::An an) {
  const auto status = secy_.receive_sa(sci, an);
  return crypto::Pn(status ? status->lowest_pn : 0);
}

void TableSecy::raise_lowest_pn(crypto::Sci sci, crypto::An an, crypto::Pn pn) {
  // Only fails for an SA that is gone, and then there is nothing to raise.
  (void)secy_.raise_lowest_pn(sci, an, pn);
}

}  // namespace sealwire::control
