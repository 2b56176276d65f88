#pragma once

#include <cstdio>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

/** As much of a test framework as we need: TEST registers, CHECK throws, main.cc runs all and counts. */
struct TestCase {
  const char* name;
  void (*run)();
};

inline std::vector<TestCase>& test_cases() {
  static std::vector<TestCase> cases;
  return cases;
}

struct Registration {
  Registration(const char* name, void (*run)()) { test_cases().push_back({name, run}); }
};

#define TEST_NAME(line) test_##line
#define TEST_AT(line, name)                                  \
  static void TEST_NAME(line)();                             \
  static const Registration registration_##line(name, TEST_NAME(line)); \
  static void TEST_NAME(line)()
#define TEST_LINE(line, name) TEST_AT(line, name)
#define TEST(name) TEST_LINE(__LINE__, name)

template <typename A, typename B>
void check_equal(const A& actual, const B& expected, const char* text, const char* file, int line) {
  if (actual == expected) return;
  std::ostringstream message;
  message << file << ":" << line << ": " << text << " is '" << actual << "', expected '" << expected << "'";
  throw std::runtime_error(message.str());
}

#define CHECK_EQUAL(actual, expected) check_equal((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK(condition) check_equal(static_cast<bool>(condition), true, #condition, __FILE__, __LINE__)
