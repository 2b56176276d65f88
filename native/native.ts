/**
 * Every function and type that crosses between TypeScript and C++, as src/binding/ converts them. Only plain data
 * crosses; absent is null. The columns of a poll are the caller's own: nothing writes to them later.
 */
export interface NativeAddon {
  /**
   * `allNamespaces`: with the sockets of other network namespaces, on Linux; those that are bound to no address are told with
   * each of their namespace's. Throws an Error with the system's `code` (EPERM, ENOENT…) where the socket table cannot be read.
   */
  openSocketSource: (allNamespaces: boolean) => NativeSocketSource
  /**
   * `mechanism` is one of the system's (Linux: ebpf, tracepoint), with so much room for events not yet read. `allNamespaces`
   * and what it throws are as of openSocketSource.
   */
  openEventSource: (mechanism: string, bufferBytes: number, allNamespaces: boolean) => NativeEventSource
  /**
   * Captures on an interface, with so much room for frames not yet fetched; `filter` is empty for none. Sources of one `group`
   * (0 for none, to 65,535) share the frames, by flow. `hardwareTimes`: of the network card's clock. Throws as openSocketSource does;
   * the code is FILTER for a filter that cannot be used, LINK for a link layer that is not known, STAMPS for a card that has no
   * times or whose times may not be turned on.
   */
  openPacketSource: (
    device: string,
    filter: string,
    ringBytes: number,
    group: number,
    hardwareTimes: boolean,
  ) => NativePacketSource
  /**
   * `keepUnmonitored`: packets that concern no monitored host are reported too, as host 0. `snapLength`: frames of the
   * monitored hosts are handed out, so many bytes of each at most; none where it is 0. `duplicateWindowUs`: how long after a
   * packet the same one is a copy of it and is not counted; negative: no packet is.
   */
  openCapture: (keepUnmonitored: boolean, snapLength: number, duplicateWindowUs: number) => NativeCapture
  /**
   * Sessions that concern no monitored host. The texts are what is said of TCP and UDP sessions and of others: the fields of a
   * record from `label` to `evidence`, as JSON without braces.
   */
  openSessions: (judgedTcpOrUdp: string, judgedOther: string) => NativeSessions
  /**
   * Packets with what is known of their process. `spoolFile` is made for sessions beyond a part of them, and the caller's to delete.
   * `noteOf` is told of a session's facts: JSON of the label's process and pid, stage, confidence, unknown cause, host.
   */
  openAnnotator: (spoolFile: string, noteOf: (facts: string) => NativeNote) => NativeAnnotator
  /**
   * Reads the records of a pcap file that stand whole in `data` from `begin` to `end`, into the rows from `count` on; answers with
   * how many. It ends before one that is not an ordinary record, which is services/capture/files/pcap.ts's to read.
   */
  readPcapRun: (
    data: Uint8Array,
    begin: number,
    end: number,
    littleEndian: boolean,
    nanoseconds: boolean,
    headerBytes: number,
    linkType: number,
    count: number,
    offset: Int32Array,
    captured: Int32Array,
    wireLength: Int32Array,
    timeUs: Float64Array,
    linkTypes: Uint16Array,
  ) => number
  /** The same for enhanced packet blocks; `resolutions` is 6 or 9, and 0 for an interface whose packets are left to pcapng.ts. */
  readPcapngRun: (
    data: Uint8Array,
    begin: number,
    end: number,
    littleEndian: boolean,
    interfaceLinkTypes: Uint16Array,
    resolutions: Uint8Array,
    count: number,
    offset: Int32Array,
    captured: Int32Array,
    wireLength: Int32Array,
    timeUs: Float64Array,
    linkTypes: Uint16Array,
  ) => number
  /**
   * Tells the service control manager of Windows, which started this process as a service, that it runs; `onStop` is called when it
   * is to end. Throws as openSocketSource does where no such manager started it. Once a process.
   */
  startService: (onStop: () => void) => void
  /** Tells that the service has ended as it should, and the process is about to. One that ends without that has failed. */
  endService: () => void
  /** Gives back the pages of code and constants that were read at start alone; nothing on Windows. */
  releaseStartupMemory: () => void
}

/** One reader of the socket table; not to be shared between threads. */
export interface NativeSocketSource {
  /** What it cannot see for want of privileges, in a sentence for the user; null when it sees all, or cannot tell. */
  restriction: () => string | null
  /** One poll: the difference to the one before; the first one opens every socket. Throws as openSocketSource does, and once started. */
  poll: () => NativePolls
  /** Polls from now on by a thread of its own, every `periodUs` microseconds, until it is closed. Once. */
  start: (periodUs: number) => void
  /** So many periods from one poll to the next. */
  pace: (periods: number) => void
  /** The polls since the last call. Throws as openSocketSource does when one failed; there are none after that. */
  take: () => NativePolls
  /** Those of other network namespaces, as of the last poll, none of loopback; null without any. Throws as openSocketSource does. */
  addresses: () => NativeAddresses | null
  /** Gives the handles back at once instead of when the garbage is collected; poll and take throw from then on. */
  close: () => void
}

/** Addresses in columns. */
export interface NativeAddresses {
  /** 16 bytes each, IPv4 as v4-mapped. */
  address: Uint8Array
  /** Of the network namespace that has it. */
  namespaceInode: Float64Array
}

/** Polls in columns, one after the other. */
export interface NativePolls {
  /**
   * Four a poll: when it began, wall clock since the epoch and monotonic clock, how long it took, and its processor time, 0 where the
   * caller polled; microseconds.
   */
  times: Float64Array
  /** Poll i opened the rows openedEnd[i - 1] to openedEnd[i] (0 before the first one) of `opened`: new sockets, and those whose row or owners changed. */
  openedEnd: Uint32Array
  opened: NativeSockets
  /** As `openedEnd`, of `closed`: ids that are gone. */
  closedEnd: Uint32Array
  closed: Float64Array
  /** Moments at which a poll was due but the one before still went on. */
  missed: number
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
  /** When the socket was bound, microseconds since the epoch; 0 where the system does not tell. */
  createdUs: Float64Array
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
  /** Of the parent's program, when this was first read. */
  parentName: string | null
  services: string[]
  containerId: string | null
  /** `NAMESPACE/NAME` in Kubernetes; null outside of pods, and when not known. */
  pod: string | null
  /** Name, or number as text where it has no name here. */
  user: string | null
}

/** One reader of what the system tells about sockets and processes; not to be shared between threads. */
export interface NativeEventSource {
  /** Whether every connect, accept, close and UDP send is told. */
  complete: () => boolean
  /** What happened since the reading before. Throws as openSocketSource does. */
  read: () => NativeEventBatch
  /** Gives memory back: of sockets and processes of before, less is known from then on. */
  forget: () => void
  /** Gives the handles back at once; read throws from then on. */
  close: () => void
}

export interface NativeEventBatch {
  /** Every event up to here is in this batch or an earlier one: wall clock since the epoch, microseconds. */
  untilUs: number
  /** Events that the system dropped because nobody fetched them in time. */
  lost: number
  /** In order of time; null when there are none. */
  events: NativeEvents | null
}

/** Events in columns: row i of each. */
export interface NativeEvents {
  count: number
  /** Wall clock since the epoch, microseconds. */
  timeUs: Float64Array
  /** 32 bytes a row: local and remote address, IPv4 as v4-mapped; without meaning in process events, as ports are. */
  address: Uint8Array
  /** Two a row: local and remote port. */
  port: Uint16Array
  /** Place in the enum EventKind of socket-event.avsc. */
  kind: Uint8Array
  /** Bit 0: has a remote end; bit 1: udp. */
  flags: Uint8Array
  /** Place in `processes`; -1 while not known. */
  process: Int32Array
  processes: NativeProcess[]
}

/** Frames of an interface, in a ring that the kernel writes; not to be shared between threads. */
export interface NativePacketSource {
  /** The ring; empty once the source is closed. Hold the source as long as you hold this. */
  memory: () => Uint8Array
  /** Rows that the columns of `next` need. */
  mostFrames: () => number
  /** Fills the columns with the frames that came since (offsets count from the ring's first byte); 0 for none. Never waits. */
  next: (
    offset: Int32Array,
    captured: Int32Array,
    wireLength: Int32Array,
    timeUs: Float64Array,
    linkType: Uint16Array,
  ) => number
  /** Frames that the kernel dropped so far because they were not fetched in time. */
  dropped: () => number
  /** Goes on with the interface that has the name by now, where another has. Throws as openPacketSource does. */
  follow: () => void
  /** Gives ring and socket back at once instead of when the garbage is collected; all else throws from then on. */
  close: () => void
}

/** The first `count` frames of these columns (FrameBlock of services/capture/packet-source.ts), which stay the caller's. */
export type NativeFrames = [
  data: Uint8Array,
  offset: Int32Array,
  captured: Int32Array,
  wireLength: Int32Array,
  timeUs: Float64Array,
  linkType: Uint16Array,
  count: number,
]

/**
 * Frames in, per-host packet batches out; not to be shared between threads. It behaves as services/capture/capture.ts does,
 * except that the names on the wire are left to the caller: it says which packets may carry one. Hosts are numbers.
 */
export interface NativeCapture {
  /**
   * Which address was whose, and when: 16 bytes each (IPv4 as v4-mapped), microseconds since the epoch (infinite for an
   * open span), host number (even, from 2 on); one entry a span. And the networks whose addresses are hosts of their own, as far
   * as no span has them: 16 bytes and how many bits of them count, each. In place of what was set before; every flow is routed
   * anew.
   */
  setHosts: (
    address: Uint8Array,
    sinceUs: Float64Array,
    untilUs: Float64Array,
    host: Int32Array,
    network: Uint8Array,
    networkBits: Uint8Array,
  ) => void
  /**
   * Takes frames in. `settled`: for flows of earlier candidates, what WireNames knows of them now, five words each: flow; bits
   * (1 decided, 4 and 8 the next sequence number is known, low end's, high end's); looked; next of the low end, of the high
   * end. A flow that is not handed back stays the caller's to look at.
   */
  add: (...frames: [...NativeFrames, settled: Uint32Array | null]) => NativeCaptured
  /** Time goes on without packets: closes every batch. */
  tick: (nowUs: number) => NativeCaptured
  /** Closes every batch; one without packets is the host's tick. */
  flush: () => NativeCaptured
  frames: () => NativeFrameCounts
}

export interface NativeCaptured {
  /** Capture time so far, microseconds since the epoch; null before the first packet. */
  nowUs: number | null
  /** A second of capture time is over, and every batch is closed. */
  ticked: boolean
  batches: NativeBatch[]
  /** Addresses of monitored networks that are hosts from now on, 16 bytes each: the n-th (from 0) has number 2n + 1. Null for none. */
  networkHosts: Uint8Array | null
  frames: NativeFrameChunk[]
  /** Packets that may tell a name, in order, `candidateWords` words each (see services/capture/native-names.ts); null for none. */
  candidates: Int32Array | null
  /** Flows of earlier candidates that are gone: their numbers may be given to others from now on. Null for none. */
  forgotten: Uint32Array | null
}

/** A finished batch; columns and their order are those of schemas/packet-batch.avsc. */
export interface NativeBatch {
  host: number
  /** From 0 for each host, without gaps. */
  seq: number
  /** Microseconds since the epoch; baseUs has no meaning without packets. */
  baseUs: number
  untilUs: number
  flows: number
  packets: number
  syns: number
  /** All columns, back to back; the caller's own. */
  columns: Uint8Array
  tunnels: NativeTunnel[]
  /** Hosts that flow_peer has the places of; where there are none, that column is empty. */
  peers: number[]
}

/** FrameChunk of services/capture/host-frames.ts, by the host's number. */
export interface NativeFrameChunk {
  host: number
  linkType: number
  minuteUs: number
  packets: number
  /** The caller's own. */
  records: Uint8Array
}

export interface NativeTunnel {
  /** Place in `tunnelKinds` of services/capture/native-capture.ts. */
  kind: number
  /** 32 bytes: source and destination, IPv4 as v4-mapped. */
  addresses: Uint8Array
  id: number | null
}

export interface NativeFrameCounts {
  /** How many frames had each fate, by its place in `frameFates` of services/capture/native-capture.ts. */
  fates: Float64Array
  /** LINKTYPE_ values of the frames that were `unsupported-link-type`. */
  unsupportedLinkTypes: number[]
}

/** What SessionTable of services/core/session-table.ts does, and the records as JSON lines; not to be shared between threads. */
export interface NativeSessions {
  /**
   * Gathers a batch's packets into sessions and lets time go on to `until_us`. Texts are JSON: `tunnels` in the batch's order; for
   * packet `namedRows[i]` its fields from `sni` to `ja4` without braces, and whether the SNI is known. Throws a RangeError for
   * columns that do not fit each other. The batch is the caller's own.
   */
  apply: (
    batch: NativeSessionColumns,
    tunnels: readonly string[],
    namedRows: Uint32Array,
    hasSni: Uint8Array,
    names: readonly string[],
  ) => void
  /** The input is over: ends every session. */
  finish: () => void
  /** The sessions that ended and have not been written. */
  ended: () => NativeEndedSessions
  /** Gives the sessions of `ended` their DNS names, JSON, one for each; without it they have none. */
  name: (dnsNames: readonly string[]) => void
  /** Writes records of sessions that ended, as many as fit, in order; answers with the bytes written, 0 when there are no more. */
  write: (to: Uint8Array) => number
}

/** Columns of a batch under their names in schemas/packet-batch.avsc. */
export interface NativeSessionColumns {
  flow_address: Uint8Array
  flow_port: Uint8Array
  flow_protocol: Uint8Array
  flow_vlan: Uint8Array
  flow_tunnel: Uint8Array
  packet_flow: Uint8Array
  packet_time: Uint8Array
  packet_ip_length: Uint8Array
  packet_tcp_flags: Uint8Array
  packet_direction: Uint8Array
  syn_sequence: Uint8Array
  base_us: number
  until_us: number
  lost: number
}

export interface NativeEndedSessions {
  count: number
  /** 32 bytes a session: who opened it, and the other end. */
  ends: Uint8Array
  firstUs: Float64Array
  protocol: Uint8Array
}

/** What goes with the packets of a session. */
export interface NativeNote {
  comment: string
  /** Null without a label. */
  process: string | null
  /** 0 where only the program is known. */
  pid: number
}

/**
 * Sessions in, then packets. Sessions are held while packets may be of them, others wait in the spool's file. What the functions that
 * were handed over throw is thrown on.
 */
export interface NativeAnnotator {
  /** Labeled sessions as JSON lines, wherever they are parted. Throws where the spool's file cannot be written. */
  read: (bytes: Uint8Array) => void
  /** The last line is over. Answers with the sessions and the lines that were none, of all files so far. */
  endFile: () => { sessions: number; bad: number }
  /**
   * Where annotated frames go: a pcapng of all, one for each process. `open` makes a file, whose number is how many there were before, and
   * answers with the room (at least 512 KiB) from whose beginning `write` is to write so many bytes; null is that of all frames.
   * `dropCopies`: a packet with the same time as a copy of it before is left out.
   */
  writeTo: (
    whole: boolean,
    perProcess: boolean,
    cutPayload: boolean,
    dropCopies: boolean,
    open: (process: string | null) => Uint8Array,
    write: (file: number, bytes: number) => void,
  ) => void
  /** In the order of the capture. */
  annotate: (...frames: NativeFrames) => void
  /** Writes what is still in the rooms. Frames of sessions with a label, without one, of no session, and copies. */
  finish: () => { labeled: number; unlabeled: number; outside: number; copies: number }
  /** Tells `take` of payload in `data`, of each session as long as it answers that it wants more. */
  payloads: (...frames: [...NativeFrames, take: (sessionId: string, offset: number, bytes: number) => boolean]) => void
}
