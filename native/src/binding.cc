/** Converts, and nothing else: the functions of native.ts in the same order. The only file that knows Node. */
#include <napi.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "annotate/annotator.hh"
#include "event_source.hh"
#include "files/record_run.hh"
#include "packet/capture.hh"
#include "packet_source.hh"
#include "resident_memory.hh"
#include "session/session_table.hh"
#include "session/session_text.hh"
#include "socket_source.hh"

namespace {

namespace annotate = proclabel::annotate;
namespace files = proclabel::files;
namespace packet = proclabel::packet;
namespace session = proclabel::session;
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
                        InstanceMethod<&SocketSource::poll>("poll"),
                        InstanceMethod<&SocketSource::addresses>("addresses"), InstanceMethod<&SocketSource::close>("close")});
  }

  explicit SocketSource(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SocketSource>(info) {
    try {
      source_ = proclabel::open_socket_source(info[0].As<Napi::Boolean>());
    } catch (const proclabel::SourceError& error) {
      throw to_error(info.Env(), error);
    }
  }

 private:
  Napi::Value restriction(const Napi::CallbackInfo& info) { return text_or_null(info.Env(), opened(info).restriction()); }

  Napi::Value poll(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    try {
      const Poll& poll = opened(info).poll(info[0].ToBoolean());
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

  Napi::Value addresses(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    try {
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
    } catch (const proclabel::SourceError& error) {
      throw to_error(env, error);
    }
  }

  void close(const Napi::CallbackInfo&) { source_.reset(); }

  proclabel::SocketSource& opened(const Napi::CallbackInfo& info) {
    if (source_ == nullptr) throw Napi::Error::New(info.Env(), "the socket source is closed");
    return *source_;
  }

  std::unique_ptr<proclabel::SocketSource> source_;
};

Napi::Object to_events(Napi::Env env, const std::vector<proclabel::SocketEvent>& events) {
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
    const proclabel::SocketEvent& event = events[i];
    time_us[i] = static_cast<double>(event.time_us);
    std::copy(event.local.begin(), event.local.end(), address.Data() + i * 32);
    std::copy(event.remote.begin(), event.remote.end(), address.Data() + i * 32 + 16);
    port[i * 2] = event.local_port;
    port[i * 2 + 1] = event.remote_port;
    kind[i] = static_cast<uint8_t>(event.kind);
    flags[i] = (event.has_remote ? 1 : 0) | (event.protocol == proclabel::Protocol::udp ? 2 : 0);
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
    try {
      source_ = proclabel::open_event_source(info[0].As<Napi::String>(), info[1].As<Napi::Number>().Int64Value(),
                                             info[2].As<Napi::Boolean>());
    } catch (const proclabel::SourceError& error) {
      throw to_error(info.Env(), error);
    }
  }

 private:
  Napi::Value complete(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), opened(info).complete()); }

  Napi::Value read(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    proclabel::EventSource& source = opened(info);
    try {
      const proclabel::EventBatch& batch = source.read();
      Napi::Object object = Napi::Object::New(env);
      object.Set("untilUs", static_cast<double>(batch.until_us));
      object.Set("lost", static_cast<double>(batch.lost));
      object.Set("events", batch.events.empty() ? env.Null() : Napi::Value(to_events(env, batch.events)));
      return object;
    } catch (const proclabel::SourceError& error) {
      throw to_error(env, error);
    }
  }

  void forget(const Napi::CallbackInfo& info) { opened(info).forget(); }

  void close(const Napi::CallbackInfo&) { source_.reset(); }

  proclabel::EventSource& opened(const Napi::CallbackInfo& info) {
    if (source_ == nullptr) throw Napi::Error::New(info.Env(), "the event source is closed");
    return *source_;
  }

  std::unique_ptr<proclabel::EventSource> source_;
};

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

class PacketSource : public Napi::ObjectWrap<PacketSource> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativePacketSource",
                       {InstanceMethod<&PacketSource::memory>("memory"),
                        InstanceMethod<&PacketSource::most_frames>("mostFrames"),
                        InstanceMethod<&PacketSource::next>("next"), InstanceMethod<&PacketSource::dropped>("dropped"),
                        InstanceMethod<&PacketSource::follow>("follow"), InstanceMethod<&PacketSource::close>("close")});
  }

  explicit PacketSource(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PacketSource>(info) {
    try {
      source_ = proclabel::open_packet_source({info[0].As<Napi::String>(), info[1].As<Napi::String>(),
                                               info[2].As<Napi::Number>().Uint32Value(),
                                               static_cast<uint16_t>(info[3].As<Napi::Number>().Uint32Value()),
                                               info[4].As<Napi::Boolean>()});
    } catch (const proclabel::SourceError& error) {
      throw to_error(info.Env(), error);
    }
  }

 private:
  Napi::Value memory(const Napi::CallbackInfo& info) {
    if (memory_.IsEmpty()) {
      const auto bytes = opened(info).memory();
      memory_ = Napi::Persistent(Napi::ArrayBuffer::New(info.Env(), bytes.data(), bytes.size()));
    }
    return Napi::Uint8Array::New(info.Env(), memory_.Value().ByteLength(), memory_.Value(), 0);
  }

  Napi::Value most_frames(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(opened(info).most_frames()));
  }

  Napi::Value next(const Napi::CallbackInfo& info) {
    const auto offset = rows<int32_t>(info[0]), captured = rows<int32_t>(info[1]), wire_length = rows<int32_t>(info[2]);
    const auto time_us = rows<double>(info[3]);
    const auto link_type = rows<uint16_t>(info[4]);
    const size_t count =
        std::min({offset.size(), captured.size(), wire_length.size(), time_us.size(), link_type.size()});
    const size_t frames = opened(info).next({offset.first(count), captured.first(count), wire_length.first(count),
                                             time_us.first(count), link_type.first(count)});
    return Napi::Number::New(info.Env(), static_cast<double>(frames));
  }

  Napi::Value dropped(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(opened(info).dropped()));
  }

  void follow(const Napi::CallbackInfo& info) {
    try {
      opened(info).follow();
    } catch (const proclabel::SourceError& error) {
      throw to_error(info.Env(), error);
    }
  }

  /** What JavaScript has of the memory is empty from then on. */
  void close(const Napi::CallbackInfo&) {
    if (!memory_.IsEmpty()) memory_.Value().Detach();
    memory_.Reset();
    source_.reset();
  }

  proclabel::PacketSource& opened(const Napi::CallbackInfo& info) {
    if (source_ == nullptr) throw Napi::Error::New(info.Env(), "the packet source is closed");
    return *source_;
  }

  std::unique_ptr<proclabel::PacketSource> source_;
  Napi::Reference<Napi::ArrayBuffer> memory_;
};

Napi::Object to_tunnel(Napi::Env env, const packet::Tunnel& tunnel) {
  auto addresses = Napi::Uint8Array::New(env, 32);
  std::memcpy(addresses.Data(), &tunnel.source, 16);
  std::memcpy(addresses.Data() + 16, &tunnel.destination, 16);
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", static_cast<double>(tunnel.kind));
  object.Set("addresses", addresses);
  object.Set("id", tunnel.id < 0 ? env.Null() : Napi::Number::New(env, static_cast<double>(tunnel.id)));
  return object;
}

/** The columns' memory goes over to JavaScript as it is. */
Napi::Object to_batch(Napi::Env env, packet::ClosedBatch& batch) {
  packet::Batch& content = batch.content;
  Napi::Array tunnels = Napi::Array::New(env, content.tunnels.size());
  for (uint32_t i = 0; i < content.tunnels.size(); i++) tunnels[i] = to_tunnel(env, content.tunnels[i]);
  Napi::Array peers = Napi::Array::New(env, content.peers.size());
  for (uint32_t i = 0; i < content.peers.size(); i++) peers[i] = content.peers[i];
  Napi::Object object = Napi::Object::New(env);
  object.Set("host", batch.host);
  object.Set("seq", batch.seq);
  object.Set("baseUs", content.base_us);
  object.Set("untilUs", batch.until_us);
  object.Set("flows", static_cast<double>(content.flows));
  object.Set("packets", static_cast<double>(content.packets));
  object.Set("syns", static_cast<double>(content.syns));
  const auto release = [](Napi::Env, uint8_t* memory) { delete[] memory; };
  object.Set("columns", Napi::Buffer<uint8_t>::New(env, content.memory.get(), content.size, release));
  content.memory.release();
  object.Set("tunnels", tunnels);
  object.Set("peers", peers);
  return object;
}

/** The records' memory goes over as it is. */
Napi::Object to_chunk(Napi::Env env, packet::FrameChunk& chunk) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("host", chunk.host);
  object.Set("linkType", static_cast<double>(chunk.link_type));
  object.Set("minuteUs", chunk.minute_us);
  object.Set("packets", static_cast<double>(chunk.packets));
  auto* const records = new std::vector<uint8_t>(std::move(chunk.records));
  const auto release = [](Napi::Env, uint8_t*, std::vector<uint8_t>* memory) { delete memory; };
  object.Set("records", Napi::Buffer<uint8_t>::New(env, records->data(), records->size(), release, records));
  return object;
}

Napi::Value to_captured(Napi::Env env, packet::Captured& captured, double now_us) {
  Napi::Array batches = Napi::Array::New(env, captured.batches.size());
  for (uint32_t i = 0; i < captured.batches.size(); i++) batches[i] = to_batch(env, captured.batches[i]);
  Napi::Array frames = Napi::Array::New(env, captured.frames.size());
  for (uint32_t i = 0; i < captured.frames.size(); i++) frames[i] = to_chunk(env, captured.frames[i]);
  Napi::Value candidates = env.Null();
  if (!captured.candidates.empty()) {
    const size_t bytes = captured.candidates.size() * sizeof(packet::Candidate);
    auto words = Napi::Int32Array::New(env, bytes / sizeof(int32_t));
    std::memcpy(words.Data(), captured.candidates.data(), bytes);
    candidates = words;
  }
  Napi::Value forgotten = env.Null();
  if (!captured.forgotten.empty()) {
    auto flows = Napi::Uint32Array::New(env, captured.forgotten.size());
    std::copy(captured.forgotten.begin(), captured.forgotten.end(), flows.Data());
    forgotten = flows;
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("nowUs", std::isnan(now_us) ? env.Null() : Napi::Number::New(env, now_us));
  object.Set("ticked", captured.ticked);
  Napi::Value network_hosts = env.Null();
  if (!captured.network_hosts.empty()) {
    const size_t bytes = captured.network_hosts.size() * sizeof(packet::Address);
    auto addresses = Napi::Uint8Array::New(env, bytes);
    std::memcpy(addresses.Data(), captured.network_hosts.data(), bytes);
    captured.network_hosts.clear();
    network_hosts = addresses;
  }
  object.Set("batches", batches);
  object.Set("networkHosts", network_hosts);
  object.Set("frames", frames);
  object.Set("candidates", candidates);
  object.Set("forgotten", forgotten);
  return object;
}

/** The columns of FrameBlock from argument `first` on, their count behind them. */
packet::FrameBlock frame_block(const Napi::CallbackInfo& info, size_t first) {
  const auto data = elements<uint8_t>(info[first]);
  const auto offset = elements<int32_t>(info[first + 1]), captured = elements<int32_t>(info[first + 2]);
  const auto wire_length = elements<int32_t>(info[first + 3]);
  const auto time_us = elements<double>(info[first + 4]);
  const auto link_type = elements<uint16_t>(info[first + 5]);
  const size_t count = std::min({static_cast<size_t>(info[first + 6].As<Napi::Number>().Uint32Value()), offset.size(),
                                 captured.size(), wire_length.size(), time_us.size(), link_type.size()});
  return {proclabel::Slice(data.data(), data.size()), offset.first(count), captured.first(count),
          wire_length.first(count), time_us.first(count), link_type.first(count)};
}

class Capture : public Napi::ObjectWrap<Capture> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeCapture",
                       {InstanceMethod<&Capture::set_hosts>("setHosts"), InstanceMethod<&Capture::add>("add"),
                        InstanceMethod<&Capture::tick>("tick"), InstanceMethod<&Capture::flush>("flush"),
                        InstanceMethod<&Capture::frames>("frames")});
  }

  explicit Capture(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Capture>(info), capture_({info[0].As<Napi::Boolean>(), info[1].As<Napi::Number>(), info[2].As<Napi::Number>()}) {}

 private:
  void set_hosts(const Napi::CallbackInfo& info) {
    const auto addresses = elements<uint8_t>(info[0]);
    const auto since_us = elements<double>(info[1]);
    const auto until_us = elements<double>(info[2]);
    const auto hosts = elements<int32_t>(info[3]);
    const size_t count = std::min({addresses.size() / 16, since_us.size(), until_us.size(), hosts.size()});
    packet::HostTable table;
    for (size_t i = 0; i < count; i++) {
      packet::Address address;
      std::memcpy(&address, addresses.data() + i * 16, 16);
      table.add(address, since_us[i], until_us[i], hosts[i]);
    }
    const auto networks = elements<uint8_t>(info[4]);
    const auto bits = elements<uint8_t>(info[5]);
    for (size_t i = 0; i < std::min(networks.size() / 16, bits.size()); i++) {
      packet::Address address;
      std::memcpy(&address, networks.data() + i * 16, 16);
      table.add_network(address, bits[i]);
    }
    capture_.set_hosts(std::move(table));
  }

  Napi::Value add(const Napi::CallbackInfo& info) {
    if (!info[7].IsNull()) {
      const auto words = elements<uint32_t>(info[7]);
      std::vector<packet::SettledFlow> settled(words.size() * sizeof(uint32_t) / sizeof(packet::SettledFlow));
      std::memcpy(settled.data(), words.data(), settled.size() * sizeof(packet::SettledFlow));
      capture_.settle(settled);
    }
    return answer(info, capture_.add(frame_block(info, 0)));
  }

  Napi::Value tick(const Napi::CallbackInfo& info) {
    return answer(info, capture_.tick(info[0].As<Napi::Number>().DoubleValue()));
  }

  Napi::Value flush(const Napi::CallbackInfo& info) { return answer(info, capture_.flush()); }

  Napi::Value frames(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto& counts = capture_.frames();
    auto fates = Napi::Float64Array::New(env, counts.size());
    std::copy(counts.begin(), counts.end(), fates.Data());
    Napi::Array link_types = Napi::Array::New(env);
    const auto& unsupported = capture_.unsupported_link_types();
    for (size_t type = 0; type < unsupported.size(); type++)
      if (unsupported[type]) link_types.Set(link_types.Length(), static_cast<double>(type));
    Napi::Object object = Napi::Object::New(env);
    object.Set("fates", fates);
    object.Set("unsupportedLinkTypes", link_types);
    return object;
  }

  Napi::Value answer(const Napi::CallbackInfo& info, packet::Captured& captured) {
    return to_captured(info.Env(), captured, capture_.now_us());
  }

  packet::Capture capture_;
};

/** The columns of FrameColumns from argument `first` on, without the rows before `count`. */
proclabel::FrameColumns frame_rows(const Napi::CallbackInfo& info, size_t first, size_t count) {
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

class Sessions : public Napi::ObjectWrap<Sessions> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSessions",
                       {InstanceMethod<&Sessions::apply>("apply"), InstanceMethod<&Sessions::finish>("finish"),
                        InstanceMethod<&Sessions::ended>("ended"), InstanceMethod<&Sessions::name>("name"),
                        InstanceMethod<&Sessions::write>("write")});
  }

  explicit Sessions(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Sessions>(info), judged_{info[0].As<Napi::String>(), info[1].As<Napi::String>()} {}

 private:
  void apply(const Napi::CallbackInfo& info) {
    const auto batch = info[0].As<Napi::Object>();
    const auto column = [&batch](const char* name) { return elements<uint8_t>(batch.Get(name)); };
    const session::BatchColumns columns = {
        column("flow_address"),     column("flow_port"),        column("flow_protocol"),    column("flow_vlan"),
        column("flow_tunnel"),      column("packet_flow"),      column("packet_time"),      column("packet_ip_length"),
        column("packet_tcp_flags"), column("packet_direction"), column("syn_sequence"),
    };
    if (!columns.fit()) throw Napi::RangeError::New(info.Env(), "the columns of a batch do not fit each other");
    const auto number = [&batch](const char* name) { return batch.Get(name).As<Napi::Number>().DoubleValue(); };
    const auto tunnels = texts(info[1]);
    const auto rows = elements<uint32_t>(info[2]);
    const auto has_sni = elements<uint8_t>(info[3]);
    const auto names = texts(info[4]);
    std::vector<session::NamedPacket> named;
    for (size_t i = 0; i < std::min({rows.size(), has_sni.size(), names.size()}); i++)
      named.push_back({rows[i], has_sni[i] != 0, names[i]});
    table_.apply(columns, number("base_us"), number("lost") > 0, tunnels, named);
    table_.advance(number("until_us"));
  }

  void finish(const Napi::CallbackInfo&) { table_.finish(); }

  Napi::Value ended(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const size_t count = table_.ended().size();
    auto ends = Napi::Uint8Array::New(env, count * 32);
    auto first_us = Napi::Float64Array::New(env, count);
    auto protocol = Napi::Uint8Array::New(env, count);
    for (size_t i = 0; i < count; i++) {
      const session::Session& one = table_[table_.ended()[i]];
      const auto [client, server] = session::ends_of(one);
      std::memcpy(ends.Data() + i * 32, &client, 16);
      std::memcpy(ends.Data() + i * 32 + 16, &server, 16);
      first_us[i] = one.first_us;
      protocol[i] = one.protocol;
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("count", static_cast<double>(count));
    object.Set("ends", ends);
    object.Set("firstUs", first_us);
    object.Set("protocol", protocol);
    return object;
  }

  void name(const Napi::CallbackInfo& info) { dns_names_ = texts(info[0]); }

  Napi::Value write(const Napi::CallbackInfo& info) {
    const auto to = rows<uint8_t>(info[0]);
    const std::span<char> room(reinterpret_cast<char*>(to.data()), to.size());
    const auto ended = table_.ended();
    size_t at = 0;
    for (; written_ < ended.size(); written_++) {
      const std::string_view dns_name = written_ < dns_names_.size() ? *dns_names_[written_] : std::string_view("null");
      const auto length = session::write_line(room.subspan(at), table_[ended[written_]], judged_, dns_name);
      if (!length && at == 0) throw Napi::RangeError::New(info.Env(), "no room for a line");
      if (!length) break;
      at += *length;
    }
    if (written_ == ended.size()) {
      table_.forget_ended();
      dns_names_.clear();
      written_ = 0;
    }
    return Napi::Number::New(info.Env(), static_cast<double>(at));
  }

  static std::vector<session::Text> texts(const Napi::Value& value) {
    const auto array = value.As<Napi::Array>();
    std::vector<session::Text> texts;
    for (uint32_t i = 0; i < array.Length(); i++)
      texts.push_back(std::make_shared<const std::string>(array.Get(i).As<Napi::String>()));
    return texts;
  }

  session::Judged judged_;
  session::SessionTable table_;
  /** Of those that ended; empty where none has one. */
  std::vector<session::Text> dns_names_;
  /** How many of those that ended have been written. */
  size_t written_ = 0;
};

class Annotator : public Napi::ObjectWrap<Annotator> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeAnnotator",
                       {InstanceMethod<&Annotator::read>("read"), InstanceMethod<&Annotator::end_file>("endFile"),
                        InstanceMethod<&Annotator::write_to>("writeTo"), InstanceMethod<&Annotator::annotate>("annotate"),
                        InstanceMethod<&Annotator::finish>("finish"), InstanceMethod<&Annotator::payloads>("payloads")});
  }

  explicit Annotator(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Annotator>(info),
        note_of_(Napi::Persistent(info[1].As<Napi::Function>())),
        annotator_(info[0].As<Napi::String>(), [this](std::string_view facts) { return make_note(facts); }) {}

 private:
  annotate::MadeNote make_note(std::string_view facts) {
    const Napi::Env env = Env();
    const auto made = note_of_.Call({Napi::String::New(env, facts.data(), facts.size())}).As<Napi::Object>();
    annotate::MadeNote note{made.Get("comment").As<Napi::String>(), std::nullopt};
    const Napi::Value process = made.Get("process");
    if (!process.IsNull()) note.process = {process.As<Napi::String>(), made.Get("pid").As<Napi::Number>().Uint32Value()};
    return note;
  }

  /** What the standard library throws of files, as an Error of JavaScript; what that threw itself goes on. */
  template <typename Run>
  void guarded(const Napi::CallbackInfo& info, Run run) {
    try {
      run();
    } catch (const std::ios_base::failure& error) {
      throw Napi::Error::New(info.Env(), error.code().message());
    }
  }

  void read(const Napi::CallbackInfo& info) {
    const auto bytes = elements<uint8_t>(info[0]);
    guarded(info, [&] { annotator_.read({reinterpret_cast<const char*>(bytes.data()), bytes.size()}); });
  }

  Napi::Value end_file(const Napi::CallbackInfo& info) {
    guarded(info, [&] { annotator_.end_file(); });
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("sessions", static_cast<double>(annotator_.sessions()));
    object.Set("bad", static_cast<double>(annotator_.bad_lines()));
    return object;
  }

  void write_to(const Napi::CallbackInfo& info) {
    open_ = Napi::Persistent(info[4].As<Napi::Function>());
    write_ = Napi::Persistent(info[5].As<Napi::Function>());
    const auto open = [this](const std::string* process) {
      const auto room = open_.Call({process == nullptr ? Env().Null() : Napi::String::New(Env(), *process)});
      rooms_.push_back(Napi::Persistent(room.As<Napi::Object>()));
      return rows<uint8_t>(room);
    };
    const auto write = [this](size_t file, size_t bytes) {
      write_.Call({Napi::Number::New(Env(), static_cast<double>(file)), Napi::Number::New(Env(), static_cast<double>(bytes))});
    };
    annotator_.write_to({info[0].As<Napi::Boolean>(), info[1].As<Napi::Boolean>(), info[2].As<Napi::Boolean>(),
                         info[3].As<Napi::Boolean>(), open, write});
  }

  void annotate(const Napi::CallbackInfo& info) {
    guarded(info, [&] { annotator_.annotate(frame_block(info, 0)); });
  }

  Napi::Value finish(const Napi::CallbackInfo& info) {
    annotator_.finish();
    const auto& counts = annotator_.counts();
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("labeled", static_cast<double>(counts.labeled));
    object.Set("unlabeled", static_cast<double>(counts.unlabeled));
    object.Set("outside", static_cast<double>(counts.outside));
    object.Set("copies", static_cast<double>(counts.copies));
    return object;
  }

  void payloads(const Napi::CallbackInfo& info) {
    const auto take = info[7].As<Napi::Function>();
    const auto tell = [&](std::string_view session_id, size_t offset, size_t bytes) -> bool {
      const Napi::Env env = info.Env();
      return take.Call({Napi::String::New(env, session_id.data(), session_id.size()),
                        Napi::Number::New(env, static_cast<double>(offset)), Napi::Number::New(env, static_cast<double>(bytes))})
          .As<Napi::Boolean>();
    };
    guarded(info, [&] { annotator_.payloads(frame_block(info, 0), tell); });
  }

  Napi::FunctionReference note_of_;
  Napi::FunctionReference open_;
  Napi::FunctionReference write_;
  std::vector<Napi::ObjectReference> rooms_;
  annotate::Annotator annotator_;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const auto socket_source = std::make_shared<Napi::FunctionReference>(Napi::Persistent(SocketSource::define(env)));
  exports.Set("openSocketSource", Napi::Function::New(env, [socket_source](const Napi::CallbackInfo& info) {
                return socket_source->New({info[0]});
              }, "openSocketSource"));
  const auto event_source = std::make_shared<Napi::FunctionReference>(Napi::Persistent(EventSource::define(env)));
  exports.Set("openEventSource", Napi::Function::New(env, [event_source](const Napi::CallbackInfo& info) {
                return event_source->New({info[0], info[1], info[2]});
              }, "openEventSource"));
  const auto packet_source = std::make_shared<Napi::FunctionReference>(Napi::Persistent(PacketSource::define(env)));
  exports.Set("openPacketSource", Napi::Function::New(env, [packet_source](const Napi::CallbackInfo& info) {
                return packet_source->New({info[0], info[1], info[2], info[3], info[4]});
              }, "openPacketSource"));
  const auto capture = std::make_shared<Napi::FunctionReference>(Napi::Persistent(Capture::define(env)));
  exports.Set("openCapture", Napi::Function::New(env, [capture](const Napi::CallbackInfo& info) {
                return capture->New({info[0], info[1], info[2]});
              }, "openCapture"));
  const auto sessions = std::make_shared<Napi::FunctionReference>(Napi::Persistent(Sessions::define(env)));
  exports.Set("openSessions", Napi::Function::New(env, [sessions](const Napi::CallbackInfo& info) {
                return sessions->New({info[0], info[1]});
              }, "openSessions"));
  const auto annotator = std::make_shared<Napi::FunctionReference>(Napi::Persistent(Annotator::define(env)));
  exports.Set("openAnnotator", Napi::Function::New(env, [annotator](const Napi::CallbackInfo& info) {
                return annotator->New({info[0], info[1]});
              }, "openAnnotator"));
  exports.Set("readPcapRun", Napi::Function::New<read_pcap_run>(env, "readPcapRun"));
  exports.Set("readPcapngRun", Napi::Function::New<read_pcapng_run>(env, "readPcapngRun"));
  exports.Set("releaseStartupMemory", Napi::Function::New(env, [](const Napi::CallbackInfo&) {
                proclabel::release_startup_memory();
              }, "releaseStartupMemory"));
  return exports;
}

}  // namespace

NODE_API_MODULE(proclabel, init)
