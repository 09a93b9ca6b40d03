// The configuration's words in the data path's terms, and both in text for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "config/model.h"
#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/secy.h"

namespace sealwire::control {

pipelines::IpAddress convert(const config::IpAddress& address);
pipelines::Prefix convert(const config::Prefix& prefix);
pipelines::Selector convert(const config::Selector& selector);
// Source and destination swapped: the same traffic seen in the other direction.
config::Selector mirrored(const config::Selector& selector);
pipelines::CipherSuite convert(config::CipherSuite suite);
pipelines::ValidateFrames convert(config::ValidateFrames how);
pipelines::LifetimeLimits convert(const config::Lifetime& lifetime);

// What `secy` of `macsec` means on a port with this MAC: SCI and settings, no SAs.
pipelines::SecySettings secy_settings(const config::Macsec& macsec, const config::SecY& secy,
                                      std::span<const std::uint8_t, 6> mac);

// SN-less, key-less part of an SA.
pipelines::OutboundSaParameters outbound_parameters(const config::EspSa& sa);
pipelines::InboundSaParameters inbound_parameters(const config::EspSa& sa);

std::string to_text(const config::IpAddress& address);
std::string to_text(const pipelines::IpAddress& address);
std::string mac_text(std::span<const std::uint8_t, 6> mac);
std::string sci_text(std::uint64_t sci);  // "02:00:00:00:01:02/1"
std::string spi_text(std::uint32_t spi);  // "0x00001001"
std::string suite_text(pipelines::CipherSuite suite);

}  // namespace sealwire::control
