#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "annotate/current_sessions.hh"
#include "annotate/pcapng_writer.hh"
#include "packet/capture.hh"
#include "packet/duplicates.hh"
#include "packet/frame_decoder.hh"

namespace proclabel::annotate {

/** What the caller makes of the facts of a session (read_session_line); no process where it has no label. */
struct MadeNote {
  std::string comment;
  std::optional<PacketProcess> process;
};

/** Where annotated frames go. */
struct AnnotatedFiles {
  bool whole;
  bool per_process;
  /** Frames end where their TCP or UDP payload begins. */
  bool cut_payload;
  /** A packet with the same time as a copy of it before is left out: in files by host, it is in both hosts'. */
  bool drop_copies;
  /** Makes a file, numbered from 0, and answers with the room in which its bytes are handed over; null: that of all frames. */
  std::function<std::span<uint8_t>(const std::string* process)> open;
  /** So many bytes of the file's room are to be written. */
  std::function<void(size_t file, size_t bytes)> write;
};

/** Finds the sessions of packets, and writes the packets with what is known of their process. */
class Annotator {
 public:
  /** The facts are asked for once as long as they come again soon. The spool's file is as in SessionSpool. */
  Annotator(std::string spool_file, std::function<MadeNote(std::string_view facts)> note_of);

  /** Bytes of labeled sessions as JSON lines, wherever they are parted; all of them before the first packet. */
  void read(std::string_view bytes) { lines_.add(bytes); }
  void end_file() { lines_.end(); }
  uint64_t sessions() const { return spool_.size(); }
  uint64_t bad_lines() const { return bad_lines_; }

  /** To be called once, before `annotate`. */
  void write_to(AnnotatedFiles files);
  void annotate(const packet::FrameBlock& block);
  /** Hands over what is still in the rooms. */
  void finish();

  struct Counts {
    /** Frames of sessions with a label, of sessions without one, of no session, and copies. */
    uint64_t labeled = 0, unlabeled = 0, outside = 0, copies = 0;
  };
  const Counts& counts() const { return counts_; }

  /** Tells `take` of the captured payload, in the block's data, of every session that still wants some: it answers whether. */
  void payloads(const packet::FrameBlock& block,
                const std::function<bool(std::string_view session_id, size_t offset, size_t bytes)>& take);

 private:
  void read_line(std::string_view line);
  SharedNote note_of(const std::string& facts);
  /** Decodes the frame and finds its sessions; null for a copy. */
  const std::vector<CurrentSession*>* find(const packet::FrameBlock& block, size_t frame);
  PcapngWriter& writer_of(const std::string* process);

  std::function<MadeNote(std::string_view)> make_note_;
  SessionSpool spool_;
  CurrentSessions sessions_{spool_};
  LineSplitter lines_;
  uint64_t bad_lines_ = 0;
  /** Of sessions read lately, by their facts. */
  std::unordered_map<std::string, SharedNote> notes_;
  std::vector<PacketProcess> processes_;
  /** Places in `processes_` by pid and name. */
  std::unordered_map<std::string, uint32_t> process_places_;
  Session session_;
  std::string facts_;

  packet::FrameDecoder decoder_;
  packet::Packet packet_;
  std::vector<packet::Packet> released_;
  std::optional<packet::Duplicates> duplicates_;
  const std::vector<CurrentSession*> none_;

  AnnotatedFiles files_{};
  std::vector<std::unique_ptr<PcapngWriter>> writers_;
  PcapngWriter* whole_ = nullptr;
  std::unordered_map<std::string, PcapngWriter*> by_process_;
  std::vector<const SharedNote*> frame_notes_;
  Counts counts_;
};

}  // namespace proclabel::annotate
