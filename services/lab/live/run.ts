import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ended, waitForOutput } from '../../e2e/lab/network.ts'
import { proclabel } from '../../e2e/lab/recording.ts'
import type { TruthLine } from '../truth-line.ts'
import type { DriverRun, DriverTask } from './driver.ts'
import { type Equipped, equip } from './equipment.ts'
import { type Load, LoadWatch } from './load.ts'
import { installPeers, type PeerRun, startPeers } from './peers.ts'
import { startServers } from './servers.ts'
import { hosts, LabSwitch } from './switch.ts'
import { Witness } from './witness.ts'

export interface LabOptions {
  /** Takes `capture.pcap`, `sockets/`, `truth.jsonl` and what else is made on the way. */
  folder: string
  /** For so long programs are started; the last ones then end. */
  seconds: number
  /** Programs that run at the same time on each host. */
  atOnce: number
  seed: number
  /** Kernel events that the agents use beside their polls, as for `--events`. */
  events: string
  /** Other programs of the kind run on the first host, beside its agent. */
  peers?: boolean
}

export interface LabRecord {
  /** What was recorded, where nobody else observed. */
  capture: string
  sockets: string
  truth: TruthLine[]
  /** What the programs did, and said of themselves. */
  runs: (DriverRun & { host: string })[]
  /** Programs of the mix that could not be had, with the reason. */
  missing: Equipped['missing']
  load: Load
  peers: PeerRun[]
}

/**
 * Begins to watch hosts and mirror port. What is returned ends that and answers with how busy agents and machine were; it throws
 * if anything was missed.
 */
export type Observe = (lab: LabSwitch, options: LabOptions) => Promise<() => Promise<Load>>

/**
 * Real programs on seven hosts, who observes them (an agent on each, and tcpdump on the mirror port), and a witness. Needs
 * root, and of Debian bpftrace, tcpdump, iproute2, openssh-server, msmtp and the programs of mix.ts.
 */
export async function runLab(options: LabOptions, observe: Observe = startRecording): Promise<LabRecord> {
  const { folder, seconds } = options
  const equipped = await equip()
  if (options.peers) await installPeers()
  const witness = await Witness.start(`${folder}/witness.txt`)
  const lab = new LabSwitch(`lab-${process.pid}`)
  try {
    const spaces = lab.spaces()
    mkdirSync(`${folder}/profiles`, { recursive: true })
    await startServers(lab, folder, seconds + 120, equipped)
    // Before the agents: those look once at who is in their namespace, and follow what comes of them.
    const drivers = await Promise.all(hosts.map(host => startDriver(lab, host, options, equipped)))
    const stopObserving = await observe(lab, options)
    await sleep(1000)
    const stopPeers = options.peers ? await startPeers(lab, hosts[0], folder) : async () => []
    const runs = (await Promise.all(drivers.map(drive => drive()))).flat()
    await sleep(2000)
    const peers = await stopPeers()
    const load = await stopObserving()
    const truth = await witness.stop(spaces)
    writeFileSync(`${folder}/truth.jsonl`, truth.map(line => `${JSON.stringify(line)}\n`).join(''))
    writeFileSync(`${folder}/load.json`, JSON.stringify(load))
    return { ...recordingIn(folder), truth, runs, missing: equipped.missing, load, peers }
  } finally {
    await lab.network.close()
    rmSync(`${folder}/profiles`, { recursive: true, force: true })
  }
}

/** Who does all that is done on one host, when what is returned is called. */
async function startDriver(
  lab: LabSwitch,
  host: (typeof hosts)[number],
  { folder, seconds, atOnce, seed }: LabOptions,
  { commands }: Equipped,
): Promise<() => Promise<LabRecord['runs']>> {
  const task: DriverTask = {
    place: { folder, local: lab.addressesOf(host)[0], annex: lab.annexAddresses, commands },
    neighbours: hosts.filter(other => other !== host).map(other => lab.addressesOf(other)),
    ...{ host: hosts.indexOf(host), seconds, atOnce, seed: seed * 100 + hosts.indexOf(host) },
  }
  const args = [fileURLToPath(new URL('driver.ts', import.meta.url)), JSON.stringify(task)]
  const child = lab.network.start(host, process.execPath, args, { stdio: 'pipe' })
  const outcome = ended(child)
  await waitForOutput(child, 'ready', 120_000)
  return async () => {
    child.stdin!.end('go')
    const { status, output, errors } = await outcome
    if (status !== 0) throw new Error(`the programs of ${host} ended with ${status}: ${errors}`)
    const lines = output.split('\n').filter(line => line.startsWith('{'))
    return lines.map(line => ({ host, ...(JSON.parse(line) as DriverRun) }))
  }
}

const recordingIn = (folder: string) => ({ capture: `${folder}/capture.pcap`, sockets: `${folder}/sockets` })

/** An agent on each host, and tcpdump on the mirror port. */
async function startRecording(lab: LabSwitch, { folder, events }: LabOptions): Promise<() => Promise<Load>> {
  const { capture, sockets } = recordingIn(folder)
  mkdirSync(sockets, { recursive: true })
  const dumpArgs = ['-i', 'eth0', '-w', capture, '-Z', 'root', '-B', '65536', '--immediate-mode']
  const dump = lab.network.start(lab.mirror, 'tcpdump', dumpArgs, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  dump.stderr!.on('data', (chunk: Buffer) => {
    said += chunk
  })
  const agents: ChildProcess[] = hosts.map(host => {
    const args = [proclabel, 'record', '--out', sockets, '--host', host, '--events', events]
    return lab.network.start(host, process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  })
  const watch = new LoadWatch(hosts.map((host, i) => [host, agents[i]!.pid!]))
  const areReady = agents.map(agent => waitForOutput(agent, 'recording', 120_000))
  await Promise.all([waitForOutput(dump, 'listening on'), ...areReady])
  return async () => {
    const load = watch.read()
    for (const child of [...agents, dump]) {
      const end = once(child, 'close')
      child.kill('SIGINT')
      await end
    }
    if (!said.includes('\n0 packets dropped by kernel')) throw new Error(`the capture is not whole: ${said}`)
    return load
  }
}

/** Sockets that programs told of and the witness did not see with them, a line each. */
export function contradictions({ truth, runs }: LabRecord): string[] {
  const byEnds = Map.groupBy(
    truth,
    line => `${line.host_id} ${line.proto} ${line.local_port} ${line.remote_ip} ${line.remote_port}`,
  )
  return runs.flatMap(({ host, kind, told }) =>
    told.flatMap(({ proto, local, remote, pid, time }) => {
      const seen = byEnds.get(`${host} ${proto} ${local[1]} ${remote[0]} ${remote[1]}`) ?? []
      const isSeen = seen.some(({ owners, first_us, last_us }) => {
        const isThen = time * 1e6 >= first_us - slackUs && time * 1e6 <= last_us + slackUs
        return isThen && owners.some(owner => owner.pid === pid)
      })
      return isSeen
        ? []
        : [`${kind} of ${host}: ${proto} ${local.join(' ')} ${remote.join(' ')} is of ${pid}, ${JSON.stringify(seen)}`]
    }),
  )
}

/** A program tells of a socket a moment before or after it uses it. */
const slackUs = 2_000_000
