#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "binding/values.hh"
#include "session/session_table.hh"
#include "session/session_text.hh"

namespace proclabel::binding {
namespace {

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

}  // namespace

void export_sessions(Napi::Env env, Napi::Object exports) { export_class<Sessions>(env, exports, "openSessions"); }

}  // namespace proclabel::binding
