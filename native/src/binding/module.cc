/** Converts, and nothing else: the functions of native.ts. Only this folder knows Node. */
#include "binding/values.hh"
#include "resident_memory.hh"

namespace proclabel::binding {
namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  export_sources(env, exports);
  export_capture(env, exports);
  export_sessions(env, exports);
  export_annotator(env, exports);
  export_files(env, exports);
  export_service(env, exports);
  const auto release = [](const Napi::CallbackInfo&) { release_startup_memory(); };
  exports.Set("releaseStartupMemory", Napi::Function::New(env, release, "releaseStartupMemory"));
  return exports;
}

NODE_API_MODULE(proclabel, init)

}  // namespace
}  // namespace proclabel::binding
