// Written by generate-types.ts from the .avsc files: change those, then run `node schemas/generate-types.ts`.

/** One address of a host. */
export interface HostAddress {
  /** Canonical text: dotted quad, or RFC 5952. */
  ip: string
  /** First moment the host had it, host clock, microseconds since the epoch; null when not known: for ever. */
  since_us: number | null
  /** Last moment the host had it; null while it still has it or when not known. */
  until_us: number | null
  /** Inode of the network namespace on the host that has it, as lsns shows it: a container's; null for the host's own. Sockets of the host that are bound to no address do not take packets for it. */
  namespace: number | null
}

/** Who a monitored host is. Topic hosts (compacted), key host_id; written by the agent at start, on every change and once a minute. */
export interface Host {
  /** Stable name of the host; the partition key of all input topics. */
  host_id: string
  /** Host names, most specific first; may be empty. */
  names: string[]
  /** Every address the host has or had, with its time span; IPv4 and IPv6. */
  addresses: HostAddress[]
  /** linux, windows, or what the log's collector tells. */
  os: string
  /** Version of proclabel, or the name of the importer. */
  agent_version: string
  /** Period of the socket table polls, microseconds; null where sockets are known by events alone. */
  poll_period_us: number | null
  /** Identity of this boot; null when not known. */
  boot_id: string | null
  /** When this record was written, host clock, microseconds since the epoch. */
  updated_us: number
}

export type PollKind = 'keyframe' | 'delta'

export type SocketProtocol = 'tcp' | 'udp'

export type SocketState = 'listen' | 'syn_sent' | 'syn_received' | 'established' | 'fin_wait_1' | 'fin_wait_2' | 'close_wait' | 'closing' | 'last_ack' | 'time_wait' | 'closed' | 'bound'

/** Identity of a process. */
export interface ProcessRef {
  /** Process id (thread group id on Linux). */
  pid: number
  /** Start time of the process, microseconds since the epoch; null where the source does not tell. */
  start_us: number | null
}

/** One row of the socket table. */
export interface Socket {
  /** Identity of the socket within the run (Linux: the kernel's socket cookie). */
  id: number
  /** Transport protocol. */
  proto: SocketProtocol
  /** Local address, canonical text; 0.0.0.0 or :: for a wildcard; v4-mapped IPv6 written as IPv4. */
  local_ip: string
  /** Local port. */
  local_port: number
  /** Remote address; null for a listening or unconnected socket. */
  remote_ip: string | null
  /** Remote port; null for a listening or unconnected socket. */
  remote_port: number | null
  /** TCP state of RFC 9293; bound for UDP. */
  state: SocketState
  /** A :: socket that takes no IPv4 (IPV6_V6ONLY). */
  v6_only: boolean
  /** Processes that hold the socket; several when it was inherited or passed; empty when not known (TIME_WAIT, another user's). */
  owners: ProcessRef[]
  /** Creation time that the system gives (Windows: of the bind), microseconds since the epoch; null where it gives none. */
  created_us: number | null
}

/** One poll of the socket table. */
export interface Poll {
  /** Number of the poll within the run, from 0, without gaps. */
  poll_seq: number
  /** keyframe: opened lists every socket there is; delta: only what changed since poll_seq - 1. */
  kind: PollKind
  /** When the poll began, host wall clock, microseconds since the epoch. */
  time_us: number
  /** The same moment on the host's monotonic clock, microseconds. */
  monotonic_us: number
  /** How long the poll took, microseconds. */
  duration_us: number
  /** Sockets that are new, or whose state, ends or owners changed (same id: the newer record replaces the older). */
  opened: Socket[]
  /** Ids of sockets that were in the previous poll and are gone. */
  closed: number[]
}

/** A process; identity is pid and start time together. */
export interface Process {
  /** Process id (thread group id on Linux). */
  pid: number
  /** Start time, microseconds since the epoch; null where the source does not tell. */
  start_us: number | null
  /** Name of the program: base name of the executable. */
  name: string
  /** Full path of the executable; null when not known or not allowed. */
  path: string | null
  /** Parent process id; null when not known. */
  parent_pid: number | null
  /** Services hosted (Windows svchost, systemd unit); empty when none or not known. */
  services: string[]
  /** Container id from the cgroup; null outside containers. */
  container_id: string | null
  /** User name; null when not known or not allowed. */
  user: string | null
  /** Kubernetes pod as NAMESPACE/NAME; null outside of pods and when not known. */
  pod: string | null
  /** Name of the program of the parent, as it was when this was first told; null when not known. */
  parent_name: string | null
  /** Image of the container, as its runtime names it; null outside containers and when not known. */
  container_image: string | null
}

/** One or more polls of a host's socket table. Topic socket-snapshots, key host_id; written by the agent. Poll k can be rebuilt from the last keyframe; a gap in poll_seq is closed by the next keyframe. */
export interface SocketSnapshot {
  /** The host whose sockets these are. */
  host_id: string
  /** Identity of this run of the agent; seq and socket ids start anew with it. */
  run_id: string
  /** Number of this message within the run, from 0, without gaps; a repeated one is skipped by the reader. */
  seq: number
  /** Polls in order of time. */
  polls: Poll[]
  /** Dictionary of the processes named in owners: every one of them in a message with a keyframe, else those not yet told in this run. */
  processes: Process[]
}

export type EventKind = 'connect' | 'accept' | 'listen' | 'close' | 'send' | 'receive' | 'process_start' | 'process_exit'

export type EventProtocol = 'tcp' | 'udp'

/** One event. */
export interface SocketEvent {
  /** What happened; send and receive are UDP. A log that tells only that a connection was seen says connect or accept by its direction. */
  kind: EventKind
  /** When, host clock, microseconds since the epoch; the true time lies in [time_us, time_us + resolution_us]. */
  time_us: number
  /** How coarse time_us is, microseconds: 0 exact, 1000000 for a log in whole seconds. */
  resolution_us: number
  /** Process id (thread group id on Linux); 0 when not known. */
  pid: number
  /** Start time of that process; null where the source does not tell. */
  start_us: number | null
  /** Transport protocol; null for process events. */
  proto: EventProtocol | null
  /** The host's end, canonical text; null for process events, and where a log tells the remote end alone. */
  local_ip: string | null
  /** The host's port; null for process events, and where a log tells the remote end alone. */
  local_port: number | null
  /** The other end; null for listen and process events. */
  remote_ip: string | null
  /** The other end's port; null for listen and process events. */
  remote_port: number | null
}

/** A process; identity is pid and start time together. The same fields as Process of socket-snapshot.avsc. */
export interface EventProcess {
  /** Process id (thread group id on Linux). */
  pid: number
  /** Start time, microseconds since the epoch; null where the source does not tell. */
  start_us: number | null
  /** Name of the program: base name of the executable. */
  name: string
  /** Full path of the executable; null when not known or not allowed. */
  path: string | null
  /** Parent process id; null when not known. */
  parent_pid: number | null
  /** Services hosted; empty when none or not known. */
  services: string[]
  /** Container id; null outside containers. */
  container_id: string | null
  /** User name; null when not known or not allowed. */
  user: string | null
  /** Kubernetes pod as NAMESPACE/NAME; null outside of pods and when not known. */
  pod: string | null
  /** Name of the program of the parent, as it was when this was first told; null when not known. */
  parent_name: string | null
  /** Image of the container, as its runtime names it; null outside containers and when not known. */
  container_image: string | null
}

/** Socket and process events of a host, as its kernel or its event log told them. Topic socket-events, key host_id; written by the agent. A message without events is a tick: it moves until_us. */
export interface SocketEvents {
  /** The host whose events these are. */
  host_id: string
  /** Identity of this run of the agent or of this import. */
  run_id: string
  /** Number of this message within the run, from 0, without gaps; a repeated one is skipped by the reader. */
  seq: number
  /** Who told: etw, ebpf, tracepoint, sysmon, security, auditd. */
  source: string
  /** The source reports every connect, accept, close and UDP send of the host, but for lost ones; false for logs that filter. */
  complete: boolean
  /** Events that the source lost since the previous message. */
  lost: number
  /** Events up to this moment are in this message or earlier ones, host clock, microseconds since the epoch. */
  until_us: number
  /** Events in order of time. */
  events: SocketEvent[]
  /** Dictionary of the processes of these events that were not yet told in this run. */
  processes: EventProcess[]
}

/** An outer header. */
export interface BatchTunnel {
  /** gre, erspan, vxlan, geneve, gtp-u, ip-in-ip, 6in4, teredo, l2tp, mpls-in-udp, tzsp, ayiya, lisp, etherip, mpls-in-ip, pim-register. */
  kind: string
  /** Outer source address of the flow's first packet in the batch, canonical text. */
  source: string
  /** Outer destination address, canonical text. */
  destination: string
  /** VNI, GRE key, ERSPAN session id or TEID; null where the tunnel has none. */
  id: number | null
}

/** A ClientHello of TLS or QUIC. */
export interface FlowName {
  /** Row of the packet that completed it; its flow is the hello's flow. */
  packet: number
  /** Server name (RFC 6066); null for a ClientHello without one. */
  sni: string | null
  /** Protocols the client offered (RFC 7301), sorted; empty without the extension. */
  alpn: string[]
  /** JA4 fingerprint of the ClientHello. */
  ja4: string | null
}

/** One name to address pair of an answer; aliases already followed. */
export interface DnsAnswer {
  /** Row of the packet that carried the answer. */
  packet: number
  /** The name that was asked for. */
  name: string
  /** Address it stands for, canonical text. */
  ip: string
  /** Time to live, seconds. */
  ttl_s: number
}

/** Per-packet 5-tuple records of one host, in columns. Topic packets, key host_id; written by the capture service. Columns are bytes: little-endian arrays, one entry a flow (flow_*) or a packet (packet_*). A batch without packets is a tick: it moves until_us. */
export interface PacketBatch {
  /** The monitored host; empty when no host is monitored (a bare capture). */
  host_id: string
  /** The capture that saw the packets. */
  sensor_id: string
  /** Identity of this run of the capture. */
  run_id: string
  /** Number of this message for this key within the run, from 0, without gaps; a repeated one is skipped by the reader. */
  seq: number
  /** Capture time that packet_time counts from, microseconds since the epoch. */
  base_us: number
  /** Highest capture time seen on this sensor when the batch was closed, microseconds since the epoch. */
  until_us: number
  /** Packets that the sensor lost since the previous batch (kernel, queue, spool), of any host. */
  lost: number
  /** 32 bytes a flow: local address, remote address, 16 bytes each in network byte order, IPv4 as v4-mapped. */
  flow_address: Uint8Array
  /** uint16 local port, uint16 remote port; for ICMP the pair of the Community ID flow hash; 0 for other protocols. */
  flow_port: Uint8Array
  /** uint8 IANA protocol number. */
  flow_protocol: Uint8Array
  /** uint16 VLAN id nearest the session's IP header; 65535 without one. */
  flow_vlan: Uint8Array
  /** uint16 index into tunnels; 65535 for a flow that is not tunnelled. */
  flow_tunnel: Uint8Array
  /** The outer headers of tunnelled flows. */
  tunnels: BatchTunnel[]
  /** uint16 index into peers; 65535 where the remote end is no other monitored host's, or where that host's batches may lack the session's first packets because it was announced later; empty where that is so of all flows. */
  flow_peer: Uint8Array
  /** Monitored hosts at the remote ends, whose batches hold the same packets. */
  peers: string[]
  /** uint16 index of the packet's flow in flow_*. */
  packet_flow: Uint8Array
  /** int32 microseconds from base_us; may be negative. */
  packet_time: Uint8Array
  /** uint32 bytes of the frame on the wire. */
  packet_wire_length: Uint8Array
  /** uint32 bytes of IP header and payload. */
  packet_ip_length: Uint8Array
  /** uint32 bytes of transport payload by the IP header. */
  packet_payload_length: Uint8Array
  /** uint8 TCP flags of RFC 9293, FIN lowest; 0 for others. */
  packet_tcp_flags: Uint8Array
  /** uint8: bit 0 set when the remote end sent it, bit 1 set for a later IP fragment. */
  packet_direction: Uint8Array
  /** uint32 TCP sequence number of each packet with SYN set, in packet order. */
  syn_sequence: Uint8Array
  /** Names seen in the clear. */
  names: FlowName[]
  /** Addresses that DNS answered to this host. */
  dns: DnsAnswer[]
}

export type SessionState = 'open' | 'closed'

export type Direction = 'out' | 'in'

export type DirectionEvidence = 'syn' | 'event' | 'listener' | 'port' | 'first_packet'

export type EndReason = 'fin' | 'rst' | 'idle' | 'reuse' | 'shutdown'

/** The outer header of a tunnelled session. */
export interface SessionTunnel {
  /** gre, erspan, vxlan, geneve, gtp-u, ip-in-ip, 6in4, teredo, l2tp, mpls-in-udp, tzsp, ayiya, lisp, etherip, mpls-in-ip, pim-register. */
  kind: string
  /** Outer source address of the first packet. */
  source: string
  /** Outer destination address of the first packet. */
  destination: string
  /** VNI, GRE key, ERSPAN session id or TEID; null where the tunnel has none. */
  id: number | null
}

/** The owning process. */
export interface Label {
  /** Name of the program. */
  process: string
  /** Process id; null when only the program is known (several processes of one name, or an inferred label). */
  pid: number | null
  /** Start time of the process; null when not known. */
  process_start_us: number | null
  /** Full path of the executable; null when not known or not allowed. */
  path: string | null
  /** Service behind a shared host process, comma separated when several; null without one. */
  service: string | null
  /** Container id; null outside containers. */
  container_id: string | null
  /** Kubernetes pod as NAMESPACE/NAME; null outside of pods and when not known. */
  pod: string | null
  /** Image of the container, as its runtime names it; null outside containers and when not known. */
  container_image: string | null
  /** Name of the program that started the process; null when not known. */
  parent: string | null
}

export type Stage = 'A' | 'A2' | 'B' | 'C' | 'D' | 'F' | 'N'

/** What the label rests on. */
export interface Evidence {
  /** The reason in a few fixed words. */
  reason: string
  /** Where the socket was seen: snapshot, or the event source; null for inferred labels. */
  source: string | null
  /** How the socket's ends fit: exact, remote (the local port and the remote end), bound, wildcard, remote-end (that alone, where a log does not tell the local port); null for inferred labels. */
  quality: string | null
  /** First moment the socket was seen, host clock; null for inferred labels. */
  owned_from_us: number | null
  /** Last moment the socket was seen, host clock; null while open or for inferred labels. */
  owned_until_us: number | null
  /** Host clock minus capture clock that was applied, microseconds; null while not known (0 applied). */
  clock_offset_us: number | null
  /** Stages A2 to N: sessions or sockets that the inference rests on. */
  support: number | null
  /** Stages D, F, N: share of them that named this process. */
  share: number | null
  /** Owners of equal quality, as name:pid; empty unless ambiguous. */
  candidates: string[]
}

/** One packet. */
export interface SpltEntry {
  /** IP bytes; positive when the local end sent it, negative when the remote end did. */
  len: number
  /** Time since the previous packet of the session, microseconds; 0 for the first. */
  gap_us: number
}

/** One session with its label. Topic labeled-sessions (compact,delete), key session_id, partitioned by host; written by the matcher only. A later revision replaces an earlier one; the same revision may arrive twice. The JSON output of the command has the same fields. */
export interface LabeledSession {
  /** 32 hex digits derived from host, 5-tuple and the time of the first packet observed. */
  session_id: string
  /** 0 for the first record of a session; the highest is the one that counts. */
  revision: number
  /** open: published early, more packets may come. */
  state: SessionState
  /** The monitored host; null when no host is monitored. */
  host_id: string | null
  /** tcp, udp, icmp, or the IANA protocol number. */
  proto: string
  /** The host's address; without monitored hosts, who opened the session. Canonical text. */
  local_ip: string
  /** The host's port; for ICMP as in the Community ID flow hash. */
  local_port: number
  /** The other end's address, canonical text. */
  remote_ip: string
  /** The other end's port. */
  remote_port: number
  /** out: the local end opened the session. */
  direction: Direction
  /** How direction is known: a SYN, a connect or accept event, a listening socket, the port numbers, or only who sent first. */
  direction_by: DirectionEvidence
  /** Time of the first packet, capture clock, microseconds since the epoch. */
  first_us: number
  /** Time of the last packet. */
  last_us: number
  /** Packets that the local end sent. */
  packets_out: number
  /** Packets that the remote end sent. */
  packets_in: number
  /** IP bytes (header and payload, no link layer, no padding) that the local end sent. */
  bytes_out: number
  /** IP bytes that the remote end sent. */
  bytes_in: number
  /** TCP flags seen in either direction, or-ed, FIN lowest; 0 for others. */
  tcp_flags: number
  /** How it ended: FIN both ways, RST, silence, a new SYN on the same 5-tuple, or the end of the input; null while open. */
  end_reason: EndReason | null
  /** Community ID flow hash, version 1, seed 0; null where the specification defines none. */
  community_id: string | null
  /** VLAN id nearest the session's IP header; null without one. */
  vlan: number | null
  /** The outer header; null for a session that is not tunnelled. */
  tunnel: SessionTunnel | null
  /** The label; null when the owner is not known. */
  label: Label | null
  /** The stage that gave the label; null without one. */
  stage: Stage | null
  /** Lower bound of how often this stage was right on sessions like this one, measured in shadow; null below 300 samples, for stage A, and where `agent_gap` is set. */
  confidence: number | null
  /** Nothing more can change the label. */
  label_final: boolean
  /** Why there is no label: no-agent, agent-gap, capture-gap, too-short, ambiguous, nat, kernel, refused, not-tcp-udp, no-socket; null with a label. */
  unknown_cause: string | null
  /** Why the label is what it is. */
  evidence: Evidence
  /** Server name from a TLS or QUIC ClientHello; null without one. */
  sni: string | null
  /** Protocols the client offered (RFC 7301), sorted; null without the extension. */
  alpn: string[] | null
  /** JA4 fingerprint of the ClientHello; null without one. */
  ja4: string | null
  /** Name by which this host last asked for the remote address; null when it did not. */
  dns_name: string | null
  /** The other host's session when both ends are monitored; null otherwise. */
  peer_session_id: string | null
  /** The sensor lost packets during the session. */
  capture_gap: boolean
  /** Socket data of the host is missing for a part of the session. */
  agent_gap: boolean
  /** The session began before the data that is at hand. */
  truncated_start: boolean
  /** The first 32 packets: lengths, directions and gaps. */
  splt: SpltEntry[]
}

export type ResolutionStage = 'F' | 'N'

/** What post-processing over all hosts decided about a closed session without label. Topic resolutions, key host_id; written by the resolver, which may repeat itself; applied by the matcher, whose next revision of the session carries it. */
export interface Resolution {
  /** The session's host. */
  host_id: string
  /** The session. */
  session_id: string
  /** The revision that was judged; where the matcher has published a later one, this is void. */
  revision: number
  /** The stage that decided; the resolver of today knows N alone. */
  stage: ResolutionStage
  /** Name of the program. */
  process: string
  /** Process id; null when only the program is known. */
  pid: number | null
  /** Start time of the process; null when not known. */
  process_start_us: number | null
  /** As in labeled-session.avsc. */
  confidence: number | null
  /** Sessions or sockets that the decision rests on. */
  support: number
  /** Share of them that named this process. */
  share: number
  /** The reason in a few fixed words, for the evidence of the session. */
  reason: string
}

/** A record nobody could use. Topic dead-letters, key source topic; read by operators. */
export interface DeadLetter {
  /** Topic the record came from. */
  topic: string
  /** Its partition. */
  partition: number
  /** Its offset. */
  offset: number
  /** Its key, as it was; null without one. */
  key: Uint8Array | null
  /** Its value, as it was; null for a tombstone. */
  value: Uint8Array | null
  /** The step that gave up. */
  step: string
  /** Why, in a short fixed word. */
  reason: string
  /** The error's text; null without one. */
  detail: string | null
  /** When, microseconds since the epoch. */
  time_us: number
}
