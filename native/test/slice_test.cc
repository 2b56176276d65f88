#include "slice.hh"

#include "test.hh"

using proclabel::Slice;

TEST("a slice reads up to its end and not beyond") {
  const uint8_t bytes[] = {1, 2, 3, 4, 5};
  const Slice slice(bytes, sizeof bytes);
  CHECK(slice.read<uint32_t>(1).has_value());
  CHECK(!slice.read<uint32_t>(2).has_value());
  CHECK(!slice.read<uint8_t>(5).has_value());
  CHECK(!slice.read<uint32_t>(SIZE_MAX - 1).has_value());
}

TEST("a part never reaches beyond the whole") {
  const uint8_t bytes[] = {1, 2, 3, 4, 5};
  const Slice slice(bytes, sizeof bytes);
  CHECK_EQUAL(slice.part(1, 100).size(), 4u);
  CHECK_EQUAL(slice.part(3, 1).size(), 1u);
  CHECK_EQUAL(slice.part(5).size(), 0u);
  CHECK_EQUAL(slice.part(SIZE_MAX, SIZE_MAX).size(), 0u);
}
