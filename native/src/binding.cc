/** Converts, and nothing else: the functions of native.ts in the same order. The only file that knows Node. */
#include <napi.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "socket_source.hh"

namespace {

using proclabel::Poll;
using proclabel::Process;
using proclabel::Socket;

Napi::Value text_or_null(Napi::Env env, const std::string& text) {
  return text.empty() ? env.Null() : Napi::String::New(env, text);
}

Napi::Error to_error(Napi::Env env, const proclabel::SourceError& source_error) {
  Napi::Error error = Napi::Error::New(env, source_error.what());
  error.Set("code", source_error.code);
  return error;
}

Napi::Object to_process(Napi::Env env, const Process& process) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", process.pid);
  object.Set("startUs", process.start_us == 0 ? env.Null() : Napi::Number::New(env, process.start_us));
  object.Set("name", process.name);
  object.Set("path", text_or_null(env, process.path));
  object.Set("parentPid", process.parent_pid == 0 ? env.Null() : Napi::Number::New(env, process.parent_pid));
  Napi::Array services = Napi::Array::New(env, process.services.size());
  for (uint32_t i = 0; i < process.services.size(); i++) services[i] = process.services[i];
  object.Set("services", services);
  object.Set("containerId", text_or_null(env, process.container_id));
  return object;
}

Napi::Object to_sockets(Napi::Env env, const std::vector<const Socket*>& sockets) {
  const size_t count = sockets.size();
  auto id = Napi::Float64Array::New(env, count);
  auto address = Napi::Uint8Array::New(env, count * 32);
  auto port = Napi::Uint16Array::New(env, count * 2);
  auto protocol = Napi::Uint8Array::New(env, count);
  auto state = Napi::Uint8Array::New(env, count);
  auto flags = Napi::Uint8Array::New(env, count);
  auto owner_end = Napi::Uint32Array::New(env, count);
  std::vector<uint32_t> owners;
  std::unordered_map<const Process*, uint32_t> places;
  Napi::Array processes = Napi::Array::New(env);
  for (size_t i = 0; i < count; i++) {
    const Socket& socket = *sockets[i];
    id[i] = static_cast<double>(socket.id);
    std::copy(socket.row.local.begin(), socket.row.local.end(), address.Data() + i * 32);
    std::copy(socket.row.remote.begin(), socket.row.remote.end(), address.Data() + i * 32 + 16);
    port[i * 2] = socket.row.local_port;
    port[i * 2 + 1] = socket.row.remote_port;
    protocol[i] = static_cast<uint8_t>(socket.row.protocol);
    state[i] = static_cast<uint8_t>(socket.row.state);
    flags[i] = (socket.row.has_remote ? 1 : 0) | (socket.row.v6_only ? 2 : 0);
    for (const auto& process : socket.owners) {
      const auto [place, is_new] = places.try_emplace(process.get(), places.size());
      if (is_new) processes.Set(place->second, to_process(env, *process));
      owners.push_back(place->second);
    }
    owner_end[i] = owners.size();
  }
  auto owner = Napi::Uint32Array::New(env, owners.size());
  std::copy(owners.begin(), owners.end(), owner.Data());
  Napi::Object object = Napi::Object::New(env);
  object.Set("count", static_cast<double>(count));
  object.Set("id", id);
  object.Set("address", address);
  object.Set("port", port);
  object.Set("protocol", protocol);
  object.Set("state", state);
  object.Set("flags", flags);
  object.Set("ownerEnd", owner_end);
  object.Set("owner", owner);
  object.Set("processes", processes);
  return object;
}

Napi::Value to_ids(Napi::Env env, const std::vector<uint64_t>& ids) {
  if (ids.empty()) return env.Null();
  auto array = Napi::Float64Array::New(env, ids.size());
  std::copy(ids.begin(), ids.end(), array.Data());
  return array;
}

class SocketSource : public Napi::ObjectWrap<SocketSource> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSocketSource",
                       {InstanceMethod<&SocketSource::poll>("poll"), InstanceMethod<&SocketSource::close>("close")});
  }

  explicit SocketSource(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SocketSource>(info) {
    try {
      source_ = proclabel::open_socket_source();
    } catch (const proclabel::SourceError& error) {
      throw to_error(info.Env(), error);
    }
  }

 private:
  Napi::Value poll(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (source_ == nullptr) throw Napi::Error::New(env, "the socket source is closed");
    try {
      const Poll& poll = source_->poll();
      Napi::Object object = Napi::Object::New(env);
      object.Set("timeUs", static_cast<double>(poll.time_us));
      object.Set("monotonicUs", static_cast<double>(poll.monotonic_us));
      object.Set("durationUs", static_cast<double>(poll.duration_us));
      object.Set("total", static_cast<double>(poll.total));
      object.Set("opened", poll.opened.empty() ? env.Null() : Napi::Value(to_sockets(env, poll.opened)));
      object.Set("closed", to_ids(env, poll.closed));
      return object;
    } catch (const proclabel::SourceError& error) {
      throw to_error(env, error);
    }
  }

  void close(const Napi::CallbackInfo&) { source_.reset(); }

  std::unique_ptr<proclabel::SocketSource> source_;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const auto socket_source = std::make_shared<Napi::FunctionReference>(Napi::Persistent(SocketSource::define(env)));
  exports.Set("openSocketSource", Napi::Function::New(env, [socket_source](const Napi::CallbackInfo&) {
                return socket_source->New({});
              }, "openSocketSource"));
  return exports;
}

}  // namespace

NODE_API_MODULE(proclabel, init)
