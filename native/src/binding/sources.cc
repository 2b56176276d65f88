#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "binding/values.hh"
#include "event_source.hh"
#include "poll_thread.hh"
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

/** The polls one after the other, in columns. */
Napi::Object to_polls(Napi::Env env, std::span<const TakenPoll> polls, int64_t missed = 0) {
  const size_t count = polls.size();
  auto times = Napi::Float64Array::New(env, count * 4);
  auto opened_end = Napi::Uint32Array::New(env, count);
  auto closed_end = Napi::Uint32Array::New(env, count);
  std::vector<const Socket*> opened;
  std::vector<uint64_t> closed;
  for (size_t i = 0; i < count; i++) {
    const TakenPoll& poll = polls[i];
    const auto figures = {poll.time_us, poll.monotonic_us, poll.duration_us, poll.cpu_us};
    std::copy(figures.begin(), figures.end(), times.Data() + i * 4);
    for (const Socket& socket : poll.opened) opened.push_back(&socket);
    closed.insert(closed.end(), poll.closed.begin(), poll.closed.end());
    opened_end[i] = opened.size();
    closed_end[i] = closed.size();
  }
  auto closed_ids = Napi::Float64Array::New(env, closed.size());
  std::copy(closed.begin(), closed.end(), closed_ids.Data());
  Napi::Object object = Napi::Object::New(env);
  object.Set("times", times);
  object.Set("openedEnd", opened_end);
  object.Set("closedEnd", closed_end);
  object.Set("opened", to_sockets(env, opened));
  object.Set("closed", closed_ids);
  object.Set("missed", static_cast<double>(missed));
  return object;
}

class SocketSource : public Napi::ObjectWrap<SocketSource> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSocketSource",
                       {InstanceMethod<&SocketSource::restriction>("restriction"),
                        InstanceMethod<&SocketSource::poll>("poll"), InstanceMethod<&SocketSource::start>("start"),
                        InstanceMethod<&SocketSource::pace>("pace"), InstanceMethod<&SocketSource::take>("take"),
                        InstanceMethod<&SocketSource::addresses>("addresses"), InstanceMethod<&SocketSource::close>("close")});
  }

  explicit SocketSource(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SocketSource>(info) {
    with_source_errors(info.Env(), [&] {
      source_ = open_socket_source(info[0].As<Napi::Boolean>());
    });
  }

 private:
  Napi::Value restriction(const Napi::CallbackInfo& info) { return text_or_null(info.Env(), opened(info).restriction()); }

  Napi::Value poll(const Napi::CallbackInfo& info) {
    const TakenPoll poll = with_source_errors(info.Env(), [&] { return TakenPoll(not_started(info).poll(false)); });
    return to_polls(info.Env(), {&poll, 1});
  }

  void start(const Napi::CallbackInfo& info) {
    const std::chrono::microseconds period(info[0].As<Napi::Number>().Int64Value());
    thread_ = std::make_unique<PollThread>(not_started(info), period);
  }

  void pace(const Napi::CallbackInfo& info) { started(info).pace(info[0].As<Napi::Number>().Int64Value()); }

  Napi::Value take(const Napi::CallbackInfo& info) {
    const PollThread::Taken taken = with_source_errors(info.Env(), [&] { return started(info).take(); });
    return to_polls(info.Env(), taken.polls, taken.missed);
  }

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

  void close(const Napi::CallbackInfo&) {
    thread_.reset();
    source_.reset();
  }

  proclabel::SocketSource& not_started(const Napi::CallbackInfo& info) {
    if (thread_ != nullptr) throw Napi::Error::New(info.Env(), "the socket source is polled by its own thread");
    return opened(info);
  }

  PollThread& started(const Napi::CallbackInfo& info) {
    if (thread_ == nullptr) throw Napi::Error::New(info.Env(), "the socket source was not started, or is closed");
    return *thread_;
  }

  proclabel::SocketSource& opened(const Napi::CallbackInfo& info) {
    if (source_ == nullptr) throw Napi::Error::New(info.Env(), "the socket source is closed");
    return *source_;
  }

  std::unique_ptr<proclabel::SocketSource> source_;
  std::unique_ptr<PollThread> thread_;
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
