import type { Host } from '#schemas'
import type { Coverage } from './coverage.ts'
import type { OwnershipInterval } from './ownership.ts'
import { snapshotClock } from './poll-reader.ts'
import type { SessionFacts } from './session-facts.ts'

export type UnknownCause =
  | 'no-agent'
  | 'agent-gap'
  | 'capture-gap'
  | 'too-short'
  | 'ambiguous'
  | 'nat'
  | 'kernel'
  | 'refused'
  | 'not-tcp-udp'
  | 'no-socket'

/** What is known around a session that nobody owns. */
export interface UnknownView {
  coverage: Coverage
  host: Host | null
  /** A process of this host runs in a container. */
  hasContainers: boolean
  /** A row of this socket was seen, but never its owner. */
  ownerless: OwnershipInterval | null
  /** Something, whoever it was, had the local port about that time. */
  portInUse: boolean
  pollPeriodUs: number
}

const flag = { fin: 1, syn: 2, rst: 4, psh: 8 } as const

/** Services that the kernel itself runs: SMB, NFS; and tunnels. */
const kernelTcpPorts = new Set([139, 445, 2049])
const kernelUdpPorts = new Set([4789, 6081, 51820])
/** Ports of Windows' in-kernel HTTP: web, WinRM. */
const windowsHttpPorts = new Set([80, 443, 5985, 5986, 47001])

/** Around the session's start, events must be whole for their silence to mean something. */
const silenceUs = 1_000_000

/** Why a TCP or UDP session without any candidate has no label, with the reason in words. */
export function explainUnknown(facts: SessionFacts, view: UnknownView): { cause: UnknownCause; reason: string } {
  const { firstUs, lastUs } = facts
  const { coverage, pollPeriodUs } = view
  if (coverage.isEmpty) return { cause: 'no-agent', reason: 'host has no socket data' }
  if (!coverage.coversByAny(firstUs, firstUs)) return { cause: 'agent-gap', reason: 'no socket data at that time' }
  if (isRefused(facts)) return { cause: 'refused', reason: 'connection was refused' }
  const kernel = kernelReason(facts, view)
  if (kernel) return { cause: 'kernel', reason: kernel }
  const complete = coverage.isComplete(firstUs - silenceUs, firstUs + silenceUs)
  const polled = coverage.covers(snapshotClock, firstUs, lastUs) && lastUs - firstUs >= 2 * pollPeriodUs
  // What a poll finds of a brief session is often the row that the kernel keeps in TIME_WAIT: its owner was never there to see.
  if (view.ownerless && (complete || polled)) return { cause: 'agent-gap', reason: 'socket seen without its owner' }
  if (facts.captureGap) return { cause: 'capture-gap', reason: 'packets were lost' }
  if ((complete || polled) && !view.portInUse && forwards(facts, view)) {
    return { cause: 'nat', reason: 'host forwards for others' }
  }
  if (complete && !view.portInUse) return { cause: 'no-socket', reason: 'nobody owned the port' }
  if (!complete && !polled && coverage.covers(snapshotClock, firstUs, firstUs)) {
    return { cause: 'too-short', reason: 'shorter than two polls' }
  }
  return { cause: 'agent-gap', reason: 'socket data does not show it' }
}

/** A SYN answered by RST, maybe several times over, and no data. */
export function isRefused(facts: SessionFacts): boolean {
  const { tcpFlags, packetsIn, packetsOut } = facts
  if (facts.proto !== 'tcp' || !facts.synSeen || (tcpFlags & flag.rst) === 0) return false
  return (tcpFlags & (flag.fin | flag.psh)) === 0 && packetsIn === packetsOut
}

/** Whether a guess at a session without a label can be right: not where nobody owned it, nor where stage A found several owners. */
export function isInferable(facts: SessionFacts, cause: string | null): boolean {
  if (cause === 'no-socket' || cause === 'ambiguous' || cause === 'not-tcp-udp') return false
  return !(isRefused(facts) && facts.direction === 'in')
}

function kernelReason(facts: SessionFacts, view: UnknownView): string | null {
  const { localPort, remotePort, proto, tcpFlags } = facts
  if (proto === 'udp') {
    return kernelUdpPorts.has(localPort) || kernelUdpPorts.has(remotePort) ? 'kernel tunnel' : null
  }
  if (kernelTcpPorts.has(localPort) || kernelTcpPorts.has(remotePort)) return 'kernel file service'
  const served = facts.direction === 'in' && windowsHttpPorts.has(localPort)
  if (served && view.host?.os === 'windows') return 'kernel HTTP service'
  const strayReset = (tcpFlags & flag.rst) !== 0 && (tcpFlags & flag.syn) === 0
  return strayReset && !view.portInUse ? 'kernel reset a stray packet' : null
}

/** The host runs containers, or is the .1 of a private network of its own (bridge of containers or VMs). */
function forwards(facts: SessionFacts, view: UnknownView): boolean {
  if (view.hasContainers) return true
  const addresses = view.host?.addresses ?? []
  return addresses.some(({ ip }) => ip !== facts.localIp && isPrivate(ip) && ip.endsWith('.1'))
}

/** RFC 1918. */
function isPrivate(ip: string): boolean {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(ip)
}
