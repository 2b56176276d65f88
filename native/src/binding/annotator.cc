#include <optional>
#include <string>
#include <vector>

#include "annotate/annotator.hh"
#include "binding/values.hh"

namespace proclabel::binding {
namespace {

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

}  // namespace

void export_annotator(Napi::Env env, Napi::Object exports) { export_class<Annotator>(env, exports, "openAnnotator"); }

}  // namespace proclabel::binding
