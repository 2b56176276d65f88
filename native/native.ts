/**
 * Every function and type that crosses between TypeScript and C++, in the order of src/binding.cc. Only plain data
 * crosses; absent is null. The columns of a poll are the caller's own: nothing writes to them later.
 */
export interface NativeAddon {
  /** Throws an Error with the system's `code` (EPERM, ENOENT…) where the socket table cannot be read. */
  openSocketSource: () => NativeSocketSource
}

/** One reader of the socket table; not to be shared between threads. */
export interface NativeSocketSource {
  /** The difference to the poll before; the first one opens every socket. Throws as openSocketSource does. */
  poll: () => NativePoll
  /** Gives the handles back at once instead of when the garbage is collected; poll throws from then on. */
  close: () => void
}

export interface NativePoll {
  /** When the poll began: wall clock since the epoch and monotonic clock, microseconds. */
  timeUs: number
  monotonicUs: number
  durationUs: number
  /** Sockets in the table now. */
  total: number
  /** New sockets and those whose row or owners changed; null when there are none. */
  opened: NativeSockets | null
  /** Ids that are gone; null when there are none. */
  closed: Float64Array | null
}

/** Sockets in columns: row i of each. */
export interface NativeSockets {
  count: number
  id: Float64Array
  /** 32 bytes a row: local and remote address, IPv4 as v4-mapped. */
  address: Uint8Array
  /** Two a row: local and remote port. */
  port: Uint16Array
  /** 0 tcp, 1 udp. */
  protocol: Uint8Array
  /** Place in the enum SocketState of socket-snapshot.avsc. */
  state: Uint8Array
  /** Bit 0: has a remote end; bit 1: v6_only. */
  flags: Uint8Array
  /** The owners of row i are places ownerEnd[i - 1] to ownerEnd[i] (0 before the first row) of `owner`. */
  ownerEnd: Uint32Array
  /** Places in `processes`. */
  owner: Uint32Array
  processes: NativeProcess[]
}

export interface NativeProcess {
  pid: number
  /** Microseconds since the epoch; null where the system does not tell. */
  startUs: number | null
  name: string
  path: string | null
  parentPid: number | null
  services: string[]
  containerId: string | null
}
