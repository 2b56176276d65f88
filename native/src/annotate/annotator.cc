#include "annotate/annotator.hh"

#include <algorithm>

namespace proclabel::annotate {

namespace {

constexpr size_t most_notes = 1 << 16;

}  // namespace

Annotator::Annotator(std::string spool_file, std::function<MadeNote(std::string_view)> note_of)
    : make_note_(std::move(note_of)), spool_(std::move(spool_file)), lines_([this](std::string_view line) { read_line(line); }) {}

void Annotator::read_line(std::string_view line) {
  if (read_session_line(line, session_, facts_))
    spool_.add({session_, note_of(facts_)});
  else
    bad_lines_++;
}

SharedNote Annotator::note_of(const std::string& facts) {
  if (const auto known = notes_.find(facts); known != notes_.end()) return known->second;
  const auto [comment, process] = make_note_(facts);
  Note note{comment};
  if (process) {
    const auto [place, is_new] =
        process_places_.try_emplace(std::to_string(process->pid) + ' ' + process->name, processes_.size());
    if (is_new) processes_.push_back(*process);
    note.process = place->second;
  }
  if (notes_.size() == most_notes) notes_.clear();
  return notes_[facts] = std::make_shared<const Note>(std::move(note));
}

void Annotator::write_to(AnnotatedFiles files) {
  files_ = std::move(files);
  if (files_.drop_copies) duplicates_.emplace(0);
  if (files_.whole) whole_ = &writer_of(nullptr);
}

PcapngWriter& Annotator::writer_of(const std::string* process) {
  if (process != nullptr)
    if (const auto known = by_process_.find(*process); known != by_process_.end()) return *known->second;
  const size_t file = writers_.size();
  const auto room = files_.open(process);
  writers_.push_back(
      std::make_unique<PcapngWriter>(room, processes_, [this, file](size_t bytes) { files_.write(file, bytes); }));
  if (process != nullptr) by_process_[*process] = writers_.back().get();
  return *writers_.back();
}

const std::vector<CurrentSession*>* Annotator::find(const packet::FrameBlock& block, size_t frame) {
  const Slice bytes = block.data.part(static_cast<size_t>(block.offset[frame]), static_cast<size_t>(block.captured[frame]));
  packet_.time_us = block.time_us[frame];
  packet_.wire_length = static_cast<uint32_t>(block.wire_length[frame]);
  released_.clear();
  const packet::Reason reason = decoder_.decode(bytes, block.link_type[frame], packet_, released_);
  const bool is_held = reason == packet::Reason::fragment_held;
  if (reason != packet::Reason::ok && !is_held) {
    packet_.payload_offset = static_cast<uint32_t>(bytes.size());
    packet_.payload_captured = 0;
    return &none_;
  }
  if (duplicates_ && duplicates_->is_repeated(packet::fingerprint_of(bytes.part(packet_.ip_offset, packet_.ip_length)),
                                              packet_.time_us)) {
    if (is_held) decoder_.forget_held();
    return nullptr;
  }
  if (!is_held) return &sessions_.find(packet::FlowKey(packet_), packet_.time_us);
  packet_.payload_offset = static_cast<uint32_t>(bytes.size());
  packet_.payload_captured = 0;
  return &none_;
}

void Annotator::annotate(const packet::FrameBlock& block) {
  const auto has_label = [](const SharedNote* note) { return (*note)->process != Note::no_process; };
  const auto name_of = [this](const SharedNote* note) -> const std::string& { return processes_[(*note)->process].name; };
  for (size_t i = 0; i < block.offset.size(); i++) {
    const auto* const sessions = find(block, i);
    if (sessions == nullptr) {
      counts_.copies++;
      continue;
    }
    frame_notes_.clear();
    for (const CurrentSession* one : *sessions) frame_notes_.push_back(&one->note);
    if (sessions->empty())
      counts_.outside++;
    else if (std::ranges::any_of(frame_notes_, has_label))
      counts_.labeled++;
    else
      counts_.unlabeled++;
    const size_t captured = static_cast<size_t>(block.captured[i]);
    const Slice bytes = block.data.part(static_cast<size_t>(block.offset[i]),
                                        files_.cut_payload ? std::min<size_t>(captured, packet_.payload_offset) : captured);
    const Frame frame = {bytes.bytes(), static_cast<uint32_t>(block.wire_length[i]), block.time_us[i], block.link_type[i]};
    if (whole_ != nullptr) whole_->packet(frame, frame_notes_);
    if (!files_.per_process) continue;
    for (size_t n = 0; n < frame_notes_.size(); n++) {
      if (!has_label(frame_notes_[n])) continue;
      const std::string& name = name_of(frame_notes_[n]);
      const auto is_same = [&](const SharedNote* note) { return has_label(note) && name_of(note) == name; };
      if (std::none_of(frame_notes_.begin(), frame_notes_.begin() + n, is_same))
        writer_of(&name).packet(frame, frame_notes_);
    }
  }
}

void Annotator::finish() {
  for (const auto& writer : writers_) writer->flush();
}

void Annotator::payloads(const packet::FrameBlock& block,
                         const std::function<bool(std::string_view, size_t, size_t)>& take) {
  for (size_t i = 0; i < block.offset.size(); i++) {
    const auto* const sessions = find(block, i);
    if (sessions == nullptr || packet_.payload_captured == 0) continue;
    const size_t offset = static_cast<size_t>(block.offset[i]) + packet_.payload_offset;
    for (CurrentSession* one : *sessions)
      if (!one->is_done) one->is_done = !take(one->session.id_text(), offset, packet_.payload_captured);
  }
}

}  // namespace proclabel::annotate
