#include "crypto/result.h"

#include <gtest/gtest.h>

namespace sealwire {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return fail("SW-TST-001", "odd", "use an even number");
  return number / 2;
}

TEST(Result, CarriesTheValue) {
  const auto result = half(8);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(*result, 4);
}

TEST(Result, CarriesTheError) {
  const auto result = half(7);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().id, "SW-TST-001");
  EXPECT_EQ(result.error().message, "odd");
  EXPECT_EQ(result.error().remedy, "use an even number");
}

}  // namespace
}  // namespace sealwire
