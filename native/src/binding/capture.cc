#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "binding/values.hh"
#include "packet/capture.hh"
#include "packet_source.hh"

namespace proclabel::binding {
namespace {

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
    with_source_errors(info.Env(), [&] {
      source_ = open_packet_source({info[0].As<Napi::String>(), info[1].As<Napi::String>(),
                                               info[2].As<Napi::Number>().Uint32Value(),
                                               static_cast<uint16_t>(info[3].As<Napi::Number>().Uint32Value()),
                                               info[4].As<Napi::Boolean>()});
    });
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
    with_source_errors(info.Env(), [&] {
      opened(info).follow();
    });
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

}  // namespace

void export_capture(Napi::Env env, Napi::Object exports) {
  export_class<PacketSource>(env, exports, "openPacketSource");
  export_class<Capture>(env, exports, "openCapture");
}

}  // namespace proclabel::binding
