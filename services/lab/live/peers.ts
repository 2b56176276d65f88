import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { debianCommand, pythonTools } from '../../deploy/tools.ts'
import type { Judged, Tally } from '../score.ts'
import type { LabSwitch } from './switch.ts'

/** Another program that tells which process talks, run on one of the hosts. */
export interface Peer {
  name: string
  command: () => Promise<[command: string, ...args: string[]]>
  /** What it wrote, as answers; null where it names no process for a flow. */
  read: ((text: string) => Answer[]) | null
}

/** A process that a peer names for a flow, or for all flows of a local port. */
export interface Answer {
  proto: string
  ends: readonly (readonly [ip: string | null, port: number | null])[]
  pid: number
  /** When it saw it, microseconds since the epoch. */
  firstUs: number
  lastUs: number
}

export interface PeerRun {
  name: string
  /** Null for one that names no process for a flow. */
  answers: Answer[] | null
  /** CPU time in its running time: 1 is a core. */
  cpuShare: number
}

const every50ms = 'while :; do date +%s%N; ss -Htunap; sleep 0.05; done'

export const peers: readonly Peer[] = [
  {
    name: 'NFStream 6.6.0, system_visibility_mode=1, poll 50 ms',
    command: async () => {
      const folder = await pythonTools('nfstream==6.6.0')
      return [`${folder}/python3`, fileURLToPath(new URL('nfstream_flows.py', import.meta.url))]
    },
    read: readFlows,
  },
  { name: 'ss -tunap every 50 ms', command: async () => ['bash', '-c', every50ms], read: readSs },
  {
    name: 'nethogs 0.8.7 -t -C',
    command: async () => [await debianCommand('nethogs'), '-t', '-C', '-d', '1', 'eth0'],
    read: null,
  },
]

function readFlows(text: string): Answer[] {
  return text.split('\n').flatMap(line => {
    if (!line.startsWith('{') || !line.endsWith('}')) return []
    const { proto, ends, first, last, pid } = JSON.parse(line)
    return pid > 0 ? [{ proto, ends, pid, firstUs: first * 1000, lastUs: last * 1000 }] : []
  })
}

/** Each poll's rows, the first process of each: `tcp ESTAB 0 0 192.0.2.10:40000 198.51.100.1:80 users:(("curl",pid=7,fd=5))`. */
function readSs(text: string): Answer[] {
  const seen = new Map<string, Answer>()
  let nowUs = 0
  for (const line of text.split('\n')) {
    if (/^\d+$/.test(line)) nowUs = Number(line) / 1000
    const [proto, , , , local, remote] = line.split(/\s+/)
    const pid = Number(/pid=(\d+)/.exec(line)?.[1] ?? 0)
    if (remote === undefined || pid === 0) continue
    const key = `${proto} ${local} ${remote} ${pid}`
    const answer = seen.get(key) ?? {
      proto: proto!,
      ends: [endOf(local!), endOf(remote)],
      pid,
      firstUs: nowUs,
      lastUs: nowUs,
    }
    answer.lastUs = nowUs
    seen.set(key, answer)
  }
  return [...seen.values()]
}

function endOf(text: string): [string | null, number | null] {
  const at = text.lastIndexOf(':')
  const ip = text
    .slice(0, at)
    .replace(/%.*/, '')
    .replace(/^\[|\]$/g, '')
    .replace('::ffff:', '')
  const port = Number(text.slice(at + 1))
  return [ip === '*' || ip === '0.0.0.0' || ip === '::' ? null : ip, Number.isNaN(port) ? null : port]
}

/** Brings what is not there: that would disturb a lab that runs. */
export async function installPeers(): Promise<void> {
  for (const peer of peers) await peer.command()
}

/** Starts peers on a host; what is returned ends them. */
export async function startPeers(
  { network }: LabSwitch,
  host: string,
  folder: string,
): Promise<() => Promise<PeerRun[]>> {
  const running: { peer: Peer; child: ChildProcess; file: string }[] = []
  for (const [i, peer] of peers.entries()) {
    const file = `${folder}/peer-${i}.txt`
    const out = openSync(file, 'w')
    const [command, ...args] = await peer.command()
    const child = network.start(host, command, args, { stdio: ['ignore', out, 'ignore'], detached: true })
    closeSync(out)
    running.push({ peer, child, file })
  }
  const startMs = performance.now()
  await sleep(3000) // NFStream takes a while to capture, and does not tell
  return async () => {
    const runs: PeerRun[] = []
    for (const { peer, child, file } of running) {
      const cpuShare = cpuShareOf(child.pid!, startMs)
      const end = once(child, 'exit')
      process.kill(-child.pid!, 'SIGTERM')
      await Promise.race([end, sleep(3000)])
      if (child.exitCode === null) child.kill('SIGKILL')
      runs.push({ name: peer.name, answers: peer.read?.(readFileSync(file, 'utf8')) ?? null, cpuShare })
    }
    return runs
  }
}

const ticksASecond = 100

/**
 * CPU time of a process, of its descendants, and of the children that they waited for, in the time since `startMs`; 1 is a
 * core. proc(5), `stat`.
 */
export function cpuShareOf(pid: number, startMs: number): number {
  const processes = readdirSync('/proc').flatMap(name => {
    try {
      const words = readFileSync(`/proc/${Number(name)}/stat`, 'utf8')
        .split(') ')
        .at(-1)!
        .split(' ')
      const ticks = words.slice(11, 15).reduce((sum, word) => sum + Number(word), 0)
      return [{ pid: Number(name), parent: Number(words[1]), ticks }]
    } catch {
      return [] // no process, or gone
    }
  })
  const family = new Set([pid])
  for (const one of processes.sort((a, b) => a.pid - b.pid)) if (family.has(one.parent)) family.add(one.pid)
  const ticks = processes.reduce((sum, one) => sum + (family.has(one.pid) ? one.ticks : 0), 0)
  return ticks / ticksASecond / ((performance.now() - startMs) / 1000)
}

/** How far a peer's times may be from the packets'. */
const slackUs = 500_000

/** What a peer says of the sessions of its host. It is right when it names the pid of an owner. */
export function tallyPeer(answers: readonly Answer[], judged: readonly Judged[]): Tally {
  const byPort = new Map<string, Answer[]>()
  for (const answer of answers) {
    for (const [, port] of answer.ends) {
      const key = `${answer.proto} ${port}`
      byPort.set(key, [...(byPort.get(key) ?? []), answer])
    }
  }
  const tally: Tally = { sessions: judged.length, labeled: 0, right: 0 }
  for (const { session, truth } of judged) {
    const { proto, local_ip, local_port, remote_ip, remote_port, first_us, last_us } = session
    const ends = [`${local_ip} ${local_port}`, `${remote_ip} ${remote_port}`]
    const found = (byPort.get(`${proto} ${local_port}`) ?? []).filter(answer => {
      const isThen = answer.firstUs <= last_us + slackUs && answer.lastUs >= first_us - slackUs
      return isThen && answer.ends.every(([ip, port]) => ip === null || ends.includes(`${ip} ${port}`))
    })
    const best = found.find(answer => answer.ends.every(([ip]) => ip !== null)) ?? found[0]
    if (!best) continue
    tally.labeled++
    if (truth.owners.some(({ pid }) => pid === best.pid)) tally.right++
  }
  return tally
}
