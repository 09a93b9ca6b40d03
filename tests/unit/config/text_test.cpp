// Written forms, both ways, at their edges.

#include "config/text.h"

#include <gtest/gtest.h>

#include <string>

namespace sealwire::config {
namespace {

using namespace std::chrono_literals;

TEST(Text, Numbers) {
  EXPECT_EQ(parse_number("0"), 0U);
  EXPECT_EQ(parse_number("0x1aF"), 0x1afU);
  EXPECT_EQ(parse_number("18446744073709551615"), ~0ULL);
  for (const char* bad : {"", "0x", "-1", "+1", " 1", "1 ", "1e3", "18446744073709551616", "0x1g"})
    EXPECT_FALSE(parse_number(bad)) << bad;
}

TEST(Text, Durations) {
  EXPECT_EQ(parse_duration("0"), 0ms);
  EXPECT_EQ(parse_duration("500ms"), 500ms);
  EXPECT_EQ(parse_duration("30s"), 30s);
  EXPECT_EQ(parse_duration("20m"), 20min);
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("7d"), 168h);
  for (const char* bad : {"", "30", "s", "1.5s", "-1s", "30 s", "30S", "999999999999999999d"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
  for (const Milliseconds time : {0ms, 1ms, 999ms, 1000ms, 61'000ms, 86'400'000ms})
    EXPECT_EQ(parse_duration(to_string(time)), time);
}

TEST(Text, Sizes) {
  EXPECT_EQ(parse_size("1500"), 1500U);
  EXPECT_EQ(parse_size("1kB"), 1000U);
  EXPECT_EQ(parse_size("4GiB"), 4ULL << 30);
  for (const char* bad : {"", "GiB", "1.5GiB", "4 GiB", "4Gib", "99999999999TiB"})
    EXPECT_FALSE(parse_size(bad)) << bad;
  for (const std::uint64_t size : {0ULL, 1ULL, 1024ULL, 1536ULL, 1ULL << 40})
    EXPECT_EQ(parse_size(size_to_string(size)), size);
}

TEST(Text, Addresses) {
  EXPECT_EQ(to_string(*parse_mac("02-00-00-00-00-0A")), "02:00:00:00:00:0a");
  for (const char* bad : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02:00-00:00:00:00",
                          "02:00:00:00:00:001", "0200.0000.000a...."})
    EXPECT_FALSE(parse_mac(bad)) << bad;
  EXPECT_EQ(to_string(*parse_prefix("10.0.0.1")), "10.0.0.1/32");
  EXPECT_EQ(to_string(*parse_prefix("2001:db8::/128")), "2001:db8::/128");
  for (const char* bad :
       {"", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1", "/8"})
    EXPECT_FALSE(parse_prefix(bad)) << bad;
}

TEST(Text, Scis) {
  EXPECT_EQ(parse_sci("02:00:00:00:00:0a/1"), 0x02000000000a0001U);
  EXPECT_EQ(parse_sci("02000000000a0001"), 0x02000000000a0001U);
  EXPECT_EQ(parse_sci(sci_to_string(0xfedcba9876543210)), 0xfedcba9876543210U);
  for (const char* bad : {"", "02:00:00:00:00:0a", "02:00:00:00:00:0a/65536", "02000000000a000",
                          "02:00:00:00:00:0a/", "2000000000a00011x"})
    EXPECT_FALSE(parse_sci(bad)) << bad;
}

TEST(Text, Times) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_time("2027-01-01T00:00:00Z"), 1798761600);
  EXPECT_EQ(parse_time("2027-01-01T02:00:00+02:00"), 1798761600);
  EXPECT_EQ(parse_time("2026-12-31T19:00:00-05:00"), 1798761600);
  EXPECT_TRUE(parse_time("2028-02-29T00:00:00Z"));
  for (const char* bad : {"", "2027-01-01", "2027-01-01 00:00:00Z", "2027-01-01T00:00:00",
                          "2027-02-29T00:00:00Z", "2027-13-01T00:00:00Z", "2027-01-01T24:00:00Z",
                          "2027-01-01T00:00:00+2:00", "2027-01-01T00:00:00Z "})
    EXPECT_FALSE(parse_time(bad)) << bad;
}

TEST(Text, Ranges) {
  EXPECT_EQ(to_string(*parse_port_range("443")), "443");
  EXPECT_EQ(to_string(*parse_port_range("1-65535")), "1-65535");
  for (const char* bad : {"", "65536", "5-4", "-", "1-", "-1", "1-2-3"})
    EXPECT_FALSE(parse_port_range(bad)) << bad;
}

TEST(Text, Endpoints) {
  EXPECT_EQ(to_string(*parse_endpoint("127.0.0.1:9464")), "127.0.0.1:9464");
  EXPECT_EQ(parse_endpoint("192.0.2.1:65535")->port, 65535);
  for (const char* bad :
       {"", ":", "127.0.0.1", "127.0.0.1:", ":9464", "9464", "127.0.0.1:0", "127.0.0.1:65536",
        "127.0.0.1:9464s", "127.0.0.1:9464,80", "::1:9464", "[::1]:9464", "localhost:9464"})
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
}

TEST(Text, Hex) {
  EXPECT_EQ(parse_hex("0aFF"), (std::vector<std::uint8_t>{0x0a, 0xff}));
  EXPECT_EQ(parse_hex("0a:ff"), (std::vector<std::uint8_t>{0x0a, 0xff}));
  for (const char* bad : {"0", "0af", "0g", "0a:", "0a::ff", ":0a"})
    EXPECT_FALSE(parse_hex(bad)) << bad;
}

TEST(Text, Prefixes) {
  const Prefix ten = *parse_prefix("10.1.2.3/9");
  EXPECT_EQ(to_string(network_of(ten)), "10.0.0.0/9");
  EXPECT_EQ(to_string(network_of(*parse_prefix("ff:ff:ff:ff:ff:ff:ff:ff/127"))),
            "ff:ff:ff:ff:ff:ff:ff:fe/127");
  EXPECT_TRUE(contains(*parse_prefix("0.0.0.0/0"), *parse_ip("255.1.1.1")));
  EXPECT_TRUE(contains(ten, *parse_ip("10.127.255.255")));
  EXPECT_FALSE(contains(ten, *parse_ip("10.128.0.0")));
  EXPECT_FALSE(contains(*parse_prefix("0.0.0.0/0"), *parse_ip("::1")));
  EXPECT_FALSE(contains(*parse_prefix("10.0.0.0/16"), *parse_prefix("10.0.0.0/15")));
}

TEST(Text, Nearest) {
  EXPECT_EQ(nearest("suit", {"sci", "suite", "use-es"}), "suite");
  EXPECT_EQ(nearest("siute", {"sci", "suite", "use-es"}), "suite");
  EXPECT_EQ(nearest("replay_window", {"replay-window", "replay-protect"}), "replay-window");
  EXPECT_EQ(nearest("xyzzy", {"sci", "suite"}), "");
  EXPECT_EQ(nearest("", {"a"}), "");
  EXPECT_EQ(nearest(std::string(1000, 'x'), {"suite"}), "");
}

}  // namespace
}  // namespace sealwire::config
