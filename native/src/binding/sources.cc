#include <algorithm>
#include <memory>
#include <unordered_map>
#include <vector>

#include "binding/values.hh"
#include "event_source.hh"
#include "socket_source.hh"

namespace proclabel::binding {
namespace {

Napi::Object to_process(Napi::Env env, const Process& process) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", process.pid);
  object.Set("startUs", process.start_us == 0 ? env.Null() : Napi::Number::New(env, process.start_us));
  object.Set("name", process.name);
  object.Set("path", text_or_null(env, process.path));
  object.Set("parentPid", process.parent_pid == 0 ? env.Null() : Napi::Number::New(env, process.parent_pid));
  object.Set("parentName", text_or_null(env, process.parent_name));
  Napi::Array services = Napi::Array::New(env, process.services.size());
  for (uint32_t i = 0; i < process.services.size(); i++) services[i] = process.services[i];
  object.Set("services", services);
  object.Set("containerId", text_or_null(env, process.container_id));
  object.Set("pod", text_or_null(env, process.pod));
  object.Set("user", text_or_null(env, process.user));
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
  auto created_us = Napi::Float64Array::New(env, count);
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
    created_us[i] = static_cast<double>(socket.created_us);
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
  object.Set("createdUs", created_us);
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
                       {InstanceMethod<&SocketSource::restriction>("restriction"),
                        InstanceMethod<&SocketSource::poll>("poll"), InstanceMethod<&SocketSource::times>("times"),
                        InstanceMethod<&SocketSource::addresses>("addresses"), InstanceMethod<&SocketSource::close>("close")});
  }

  explicit SocketSource(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SocketSource>(info) {
    with_source_errors(info.Env(), [&] {
      source_ = open_socket_source(info[0].As<Napi::Boolean>());
    });
    times_ = Napi::Persistent(Napi::Float64Array::New(info.Env(), 3));
  }

 private:
  Napi::Value restriction(const Napi::CallbackInfo& info) { return text_or_null(info.Env(), opened(info).restriction()); }

  Napi::Value poll(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return with_source_errors(env, [&]() -> Napi::Value {
      const Poll& poll = opened(info).poll(info[0].ToBoolean());
      auto times = times_.Value();
      times[0] = static_cast<double>(poll.time_us);
      times[1] = static_cast<double>(poll.monotonic_us);
      times[2] = static_cast<double>(poll.duration_us);
      if (poll.opened.empty() && poll.closed.empty()) return env.Null();
      Napi::Object object = Napi::Object::New(env);
      object.Set("opened", poll.opened.empty() ? env.Null() : Napi::Value(to_sockets(env, poll.opened)));
      object.Set("closed", to_ids(env, poll.closed));
      return object;
    });
  }

  Napi::Value times(const Napi::CallbackInfo&) { return times_.Value(); }

  Napi::Value addresses(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return with_source_errors(env, [&]() -> Napi::Value {
      const auto addresses = opened(info).addresses();
      if (addresses.empty()) return env.Null();
      auto bytes = Napi::Uint8Array::New(env, addresses.size() * 16);
      auto inodes = Napi::Float64Array::New(env, addresses.size());
      for (size_t i = 0; i < addresses.size(); i++) {
        std::copy(addresses[i].address.begin(), addresses[i].address.end(), bytes.Data() + i * 16);
        inodes[i] = static_cast<double>(addresses[i].namespace_inode);
      }
      Napi::Object object = Napi::Object::New(env);
      object.Set("address", bytes);
      object.Set("namespaceInode", inodes);
      return object;
    });
  }

  void close(const Napi::CallbackInfo&) { source_.reset(); }

  proclabel::SocketSource& opened(const Napi::CallbackInfo& info) {
    if (source_ == nullptr) throw Napi::Error::New(info.Env(), "the socket source is closed");
    return *source_;
  }

  std::unique_ptr<proclabel::SocketSource> source_;
  Napi::Reference<Napi::Float64Array> times_;
};

Napi::Object to_events(Napi::Env env, const std::vector<SocketEvent>& events) {
  const size_t count = events.size();
  auto time_us = Napi::Float64Array::New(env, count);
  auto address = Napi::Uint8Array::New(env, count * 32);
  auto port = Napi::Uint16Array::New(env, count * 2);
  auto kind = Napi::Uint8Array::New(env, count);
  auto flags = Napi::Uint8Array::New(env, count);
  auto process = Napi::Int32Array::New(env, count);
  std::unordered_map<const Process*, uint32_t> places;
  Napi::Array processes = Napi::Array::New(env);
  for (size_t i = 0; i < count; i++) {
    const SocketEvent& event = events[i];
    time_us[i] = static_cast<double>(event.time_us);
    std::copy(event.local.begin(), event.local.end(), address.Data() + i * 32);
    std::copy(event.remote.begin(), event.remote.end(), address.Data() + i * 32 + 16);
    port[i * 2] = event.local_port;
    port[i * 2 + 1] = event.remote_port;
    kind[i] = static_cast<uint8_t>(event.kind);
    flags[i] = (event.has_remote ? 1 : 0) | (event.protocol == Protocol::udp ? 2 : 0);
    process[i] = -1;
    if (event.process == nullptr) continue;
    const auto [place, is_new] = places.try_emplace(event.process.get(), places.size());
    if (is_new) processes.Set(place->second, to_process(env, *event.process));
    process[i] = static_cast<int32_t>(place->second);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("count", static_cast<double>(count));
  object.Set("timeUs", time_us);
  object.Set("address", address);
  object.Set("port", port);
  object.Set("kind", kind);
  object.Set("flags", flags);
  object.Set("process", process);
  object.Set("processes", processes);
  return object;
}

class EventSource : public Napi::ObjectWrap<EventSource> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeEventSource",
                       {InstanceMethod<&EventSource::complete>("complete"), InstanceMethod<&EventSource::read>("read"),
                        InstanceMethod<&EventSource::forget>("forget"),
                        InstanceMethod<&EventSource::close>("close")});
  }

  explicit EventSource(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EventSource>(info) {
    with_source_errors(info.Env(), [&] {
      source_ = open_event_source(info[0].As<Napi::String>(), info[1].As<Napi::Number>().Int64Value(),
                                             info[2].As<Napi::Boolean>());
    });
  }

 private:
  Napi::Value complete(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), opened(info).complete()); }

  Napi::Value read(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    proclabel::EventSource& source = opened(info);
    return with_source_errors(env, [&]() -> Napi::Value {
      const EventBatch& batch = source.read();
      Napi::Object object = Napi::Object::New(env);
      object.Set("untilUs", static_cast<double>(batch.until_us));
      object.Set("lost", static_cast<double>(batch.lost));
      object.Set("events", batch.events.empty() ? env.Null() : Napi::Value(to_events(env, batch.events)));
      return object;
    });
  }

  void forget(const Napi::CallbackInfo& info) { opened(info).forget(); }

  void close(const Napi::CallbackInfo&) { source_.reset(); }

  proclabel::EventSource& opened(const Napi::CallbackInfo& info) {
    if (source_ == nullptr) throw Napi::Error::New(info.Env(), "the event source is closed");
    return *source_;
  }

  std::unique_ptr<proclabel::EventSource> source_;
};

}  // namespace

void export_sources(Napi::Env env, Napi::Object exports) {
  export_class<SocketSource>(env, exports, "openSocketSource");
  export_class<EventSource>(env, exports, "openEventSource");
}

}  // namespace proclabel::binding
