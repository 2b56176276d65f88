#pragma once

#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

namespace proclabel::packet {

/** A map whose entries stay in the order in which they were added, so that the oldest one is known. */
template <typename Key, typename Value, typename Hash>
class InsertionOrderedMap {
 public:
  size_t size() const { return places_.size(); }
  bool empty() const { return places_.empty(); }

  /** Null where there is none. */
  Value* find(const Key& key) {
    const auto place = places_.find(key);
    return place == places_.end() ? nullptr : &place->second->second;
  }

  /** Adds an entry at the end, in place of the one that the key had. */
  Value& add(const Key& key, Value value) {
    erase(key);
    entries_.emplace_back(key, std::move(value));
    places_.emplace(key, std::prev(entries_.end()));
    return entries_.back().second;
  }

  void erase(const Key& key) {
    const auto place = places_.find(key);
    if (place == places_.end()) return;
    entries_.erase(place->second);
    places_.erase(place);
  }

  /** The entry added longest ago; there must be one. */
  const Value& oldest() const { return entries_.front().second; }

  void erase_oldest() {
    places_.erase(entries_.front().first);
    entries_.pop_front();
  }

 private:
  using Entries = std::list<std::pair<Key, Value>>;
  Entries entries_;
  std::unordered_map<Key, typename Entries::iterator, Hash> places_;
};

}  // namespace proclabel::packet
