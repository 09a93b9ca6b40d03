// What people read of an answer of the daemon.
#include "app/cli/show.h"

#include <gtest/gtest.h>

namespace sealwire::cli {
namespace {

using nlohmann::json;

TEST(ShowCrypto, HasAColumnForEachCandidateAndADashWhereOneCannot) {
  const json result = json::parse(R"({
    "engines": [{"name": "auto", "self_test": "passed", "lines": ["x"], "algorithms": ["a"]}],
    "plan_measured": "at start",
    "plan": [
      {"algorithm": "aes-gcm-128", "direction": "seal", "size": "small", "octets": 64,
       "cycles": {"batch-gcm": 77.0, "openssl": 812.0}, "chosen": "batch-gcm"},
      {"algorithm": "chacha20-poly1305", "direction": "open", "size": "large", "octets": 1424,
       "cycles": {"openssl": 2100.0}, "chosen": "openssl"}]})");
  EXPECT_EQ(render("crypto", result),
            "ENGINE  SELF-TEST  LINES  ALGORITHMS\n"
            "auto    passed     x      a\n"
            "\n"
            "auto, measured at start, cycles per packet\n"
            "ALGORITHM          DIRECTION  SIZE   OCTETS  batch-gcm  openssl  CHOSEN\n"
            "aes-gcm-128        seal       small      64         77      812  batch-gcm\n"
            "chacha20-poly1305  open       large    1424          -     2100  openssl\n");
}

TEST(ShowCrypto, WithoutAutoThereIsNoPlan) {
  const json result = {{"engines", json::array()}, {"plan", json::array()}};
  EXPECT_EQ(render("crypto", result), "ENGINE  SELF-TEST  LINES  ALGORITHMS\n");
}

}  // namespace
}  // namespace sealwire::cli
