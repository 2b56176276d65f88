#include "session/digest.hh"

#include <string>

#include "test.hh"

using namespace proclabel::session;

namespace {

const uint8_t* bytes_of(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

template <size_t size>
std::string hex(const std::array<uint8_t, size>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

std::string sha1_of(const std::string& text) { return hex(sha1(bytes_of(text), text.size())); }
std::string sha256_of(const std::string& text) { return hex(sha256(bytes_of(text), text.size())); }

}  // namespace

TEST("digests are those of the examples of FIPS 180") {
  const std::string two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  CHECK_EQUAL(sha1_of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK_EQUAL(sha1_of(two_blocks), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  CHECK_EQUAL(sha1_of(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  CHECK_EQUAL(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_EQUAL(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_EQUAL(sha256_of(two_blocks), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK_EQUAL(sha256_of(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
