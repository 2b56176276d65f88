#include "windows/etw_loss.hh"

#include <optional>

#include "test.hh"
#include "windows/etw_name.hh"

using namespace proclabel;

TEST("events and buffers that Windows lost are told once, at the next reading") {
  EtwLoss loss;
  CHECK_EQUAL(loss.since_last(EtwCounts{}, false, 0), 0u);
  CHECK_EQUAL(loss.since_last(EtwCounts{40, 2}, false, 0), 42u);
  CHECK_EQUAL(loss.since_last(EtwCounts{40, 2}, false, 0), 0u);
  CHECK_EQUAL(loss.since_last(EtwCounts{41, 2}, false, 3), 4u);
}

TEST("a loss that only the stream tells of counts as one event; one that both tell of counts once") {
  EtwLoss loss;
  CHECK_EQUAL(loss.since_last(EtwCounts{}, true, 0), 1u);
  CHECK_EQUAL(loss.since_last(EtwCounts{7, 0}, true, 0), 7u);
}

TEST("counts that could not be had lose nothing: the next ones tell it") {
  EtwLoss loss;
  CHECK_EQUAL(loss.since_last(EtwCounts{5, 0}, false, 0), 5u);
  CHECK_EQUAL(loss.since_last(std::nullopt, false, 2), 2u);
  CHECK_EQUAL(loss.since_last(EtwCounts{9, 0}, false, 0), 4u);
}

TEST("counts that run over are no loss of billions") {
  EtwLoss loss;
  CHECK_EQUAL(loss.since_last(EtwCounts{UINT32_MAX, 0}, false, 0), uint64_t{UINT32_MAX});
  CHECK_EQUAL(loss.since_last(EtwCounts{2, 0}, false, 0), 3u);
}

TEST("a session is an orphan when its process is gone, or its pid is another's by now; not when we may not look") {
  const auto name = etw_session_name({7, 1000});
  const auto orphan_if = [&](const std::wstring& of, std::optional<int64_t> start_us) {
    return is_orphan(of, [=](uint32_t pid) { return pid == 7 ? start_us : std::nullopt; });
  };
  CHECK(orphan_if(name, 0));
  CHECK(orphan_if(name, 2000));
  CHECK(!orphan_if(name, 1000));
  CHECK(!orphan_if(name, std::nullopt));
  CHECK(!orphan_if(L"NT Kernel Logger", 0));
}
