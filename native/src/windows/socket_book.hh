#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "socket_source.hh"
#include "windows/table_rows.hh"

namespace proclabel {

/** The process that has a pid now; null while not known. */
using OwnerOf = std::function<std::shared_ptr<const Process>(uint32_t pid)>;

/**
 * The sockets of the last poll, and what differs from it. Windows numbers no sockets: a connection is its two ends, everything
 * else its local end, pid and time of creation.
 */
class SocketBook {
 public:
  /** Fills `total`, `opened` and `closed` of `poll`; valid until the next call. */
  void apply(const std::vector<TableRow>& rows, const OwnerOf& owner_of, Poll& poll);

 private:
  struct Key {
    Protocol protocol;
    uint16_t local_port;
    uint16_t remote_port;
    Address local;
    Address remote;
    /** 0 for a connection. */
    uint32_t pid;
    int64_t created_us;

    bool operator==(const Key&) const = default;
  };

  struct KeyHash {
    size_t operator()(const Key& key) const;
  };

  struct Entry {
    Socket socket;
    /** Of the row that named its process last. */
    uint32_t pid = 0;
    uint64_t seen_in_poll = 0;
  };

  static Key key_of(const TableRow& row);
  static bool is_other(const Entry& entry, const TableRow& row);

  void take(const TableRow& row, const OwnerOf& owner_of, Poll& poll);

  uint64_t number_ = 0;
  uint64_t last_id_ = 0;
  std::unordered_map<Key, Entry, KeyHash> sockets_;
};

}  // namespace proclabel
