#pragma once

#include <napi.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "packet/capture.hh"
#include "socket_source.hh"

/** Between JavaScript's values and those of C++. */
namespace proclabel::binding {

inline Napi::Value text_or_null(Napi::Env env, const std::string& text) {
  return text.empty() ? env.Null() : Napi::String::New(env, text);
}

/** What `run` answers; a SourceError becomes an Error of JavaScript with its code. */
template <typename Run>
auto with_source_errors(Napi::Env env, Run run) {
  try {
    return run();
  } catch (const SourceError& source_error) {
    Napi::Error error = Napi::Error::New(env, source_error.what());
    error.Set("code", source_error.code);
    throw error;
  }
}

/** The elements of a typed array, without a copy; valid until the call into C++ returns. */
template <typename T>
std::span<const T> elements(const Napi::Value& value) {
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return {array.Data(), array.ElementLength()};
}

/** The elements of a typed array, to be written to; valid until the call into C++ returns. */
template <typename T>
std::span<T> rows(const Napi::Value& value) {
  auto array = value.As<Napi::TypedArrayOf<T>>();
  return {array.Data(), array.ElementLength()};
}

/** The columns of FrameBlock from argument `first` on, their count behind them. */
packet::FrameBlock frame_block(const Napi::CallbackInfo& info, size_t first);

/** Exports a function that makes a new object of a class. */
template <typename Wrapped>
void export_class(Napi::Env env, Napi::Object exports, const char* name) {
  const auto constructor = std::make_shared<Napi::FunctionReference>(Napi::Persistent(Wrapped::define(env)));
  const auto open = [constructor](const Napi::CallbackInfo& info) {
    std::vector<napi_value> arguments;
    for (size_t i = 0; i < info.Length(); i++) arguments.push_back(info[i]);
    return constructor->New(arguments);
  };
  exports.Set(name, Napi::Function::New(env, open, name));
}

void export_sources(Napi::Env env, Napi::Object exports);
void export_capture(Napi::Env env, Napi::Object exports);
void export_files(Napi::Env env, Napi::Object exports);
void export_service(Napi::Env env, Napi::Object exports);
void export_sessions(Napi::Env env, Napi::Object exports);
void export_annotator(Napi::Env env, Napi::Object exports);

}  // namespace proclabel::binding
