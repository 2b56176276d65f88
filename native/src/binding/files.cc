#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "binding/values.hh"
#include "files/record_run.hh"
#include "frame_columns.hh"

namespace proclabel::binding {
namespace {

/** The columns of FrameColumns from argument `first` on, without the rows before `count`. */
FrameColumns frame_rows(const Napi::CallbackInfo& info, size_t first, size_t count) {
  const auto offset = rows<int32_t>(info[first]), captured = rows<int32_t>(info[first + 1]);
  const auto wire_length = rows<int32_t>(info[first + 2]);
  const auto time_us = rows<double>(info[first + 3]);
  const auto link_type = rows<uint16_t>(info[first + 4]);
  const size_t end = std::min({offset.size(), captured.size(), wire_length.size(), time_us.size(), link_type.size()});
  const size_t from = std::min(count, end);
  return {offset.subspan(from, end - from), captured.subspan(from, end - from), wire_length.subspan(from, end - from),
          time_us.subspan(from, end - from), link_type.subspan(from, end - from)};
}

/** The bytes of argument 0 up to argument 2, and where to begin: argument 1. */
std::pair<std::span<const uint8_t>, size_t> window_of(const Napi::CallbackInfo& info) {
  const auto data = elements<uint8_t>(info[0]);
  const size_t end = std::min(static_cast<size_t>(info[2].As<Napi::Number>().Uint32Value()), data.size());
  return {data.first(end), info[1].As<Napi::Number>().Uint32Value()};
}

Napi::Value read_pcap_run(const Napi::CallbackInfo& info) {
  const auto [window, begin] = window_of(info);
  const files::RecordLayout layout = {info[3].As<Napi::Boolean>(), info[4].As<Napi::Boolean>(),
                                      info[5].As<Napi::Number>().Uint32Value(),
                                      static_cast<uint16_t>(info[6].As<Napi::Number>().Uint32Value())};
  const auto rows = frame_rows(info, 8, info[7].As<Napi::Number>().Uint32Value());
  return Napi::Number::New(info.Env(), static_cast<double>(files::read_pcap_run(window, begin, layout, rows)));
}

Napi::Value read_pcapng_run(const Napi::CallbackInfo& info) {
  const auto [window, begin] = window_of(info);
  const auto link_types = elements<uint16_t>(info[4]);
  const auto resolutions = elements<uint8_t>(info[5]);
  std::vector<files::Interface> interfaces(std::min(link_types.size(), resolutions.size()));
  for (size_t i = 0; i < interfaces.size(); i++) interfaces[i] = {link_types[i], resolutions[i]};
  const auto rows = frame_rows(info, 7, info[6].As<Napi::Number>().Uint32Value());
  const size_t count = files::read_pcapng_run(window, begin, info[3].As<Napi::Boolean>(), interfaces, rows);
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

}  // namespace

void export_files(Napi::Env env, Napi::Object exports) {
  exports.Set("readPcapRun", Napi::Function::New<read_pcap_run>(env, "readPcapRun"));
  exports.Set("readPcapngRun", Napi::Function::New<read_pcapng_run>(env, "readPcapngRun"));
}

}  // namespace proclabel::binding
