#include "binding/values.hh"
#include "service_manager.hh"

namespace proclabel::binding {

void export_service(Napi::Env env, Napi::Object exports) {
  const auto start = [](const Napi::CallbackInfo& info) {
    auto on_stop = Napi::ThreadSafeFunction::New(info.Env(), info[0].As<Napi::Function>(), "service", 0, 1);
    on_stop.Unref(info.Env());
    with_source_errors(info.Env(), [&] { start_service([on_stop] { on_stop.NonBlockingCall(); }); });
  };
  exports.Set("startService", Napi::Function::New(env, start, "startService"));
  exports.Set("endService", Napi::Function::New(env, [](const Napi::CallbackInfo&) { end_service(); }, "endService"));
}

}  // namespace proclabel::binding
