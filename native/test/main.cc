#include "test.hh"

int main() {
  int failed = 0;
  for (const TestCase& test : test_cases()) {
    try {
      test.run();
      std::printf("ok      %s\n", test.name);
    } catch (const std::exception& error) {
      failed++;
      std::printf("FAILED  %s\n        %s\n", test.name, error.what());
    }
  }
  std::printf("%zu passed, %d failed\n", test_cases().size() - failed, failed);
  return failed == 0 ? 0 : 1;
}
