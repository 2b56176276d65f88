import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, readFileSync, realpathSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { waitForOutput } from '../../e2e/lab/network.ts'
import type { TruthLine } from '../truth-line.ts'

/** Where the kernel tells of its tracepoints; not every system has mounted it. */
const tracefs = '/sys/kernel/tracing'

/** Network namespaces by the inode of their file: whose they are. */
export type Spaces = ReadonlyMap<number, string>

/** Another pair of eyes on the kernel than the agent's: bpftrace tells who uses which socket (witness.bt). Needs root. */
export class Witness {
  readonly #child: ChildProcess
  readonly #file: string
  #complaints = ''

  private constructor(child: ChildProcess, file: string) {
    this.#child = child
    this.#file = file
    child.stdout!.pipe(createWriteStream(file))
    child.stderr!.on('data', (chunk: Buffer) => {
      this.#complaints += chunk
    })
  }

  /** Watches from now on; what it sees goes to a file, as text. */
  static async start(file: string): Promise<Witness> {
    const script = fileURLToPath(new URL('witness.bt', import.meta.url))
    if (!existsSync(`${tracefs}/events`)) execFileSync('mount', ['-t', 'tracefs', 'tracefs', tracefs])
    const env = {
      ...process.env,
      BPFTRACE_MAP_KEYS_MAX: '1000000',
      BPFTRACE_STRLEN: '200',
      BPFTRACE_PERF_RB_PAGES: '512',
    }
    const args = ['--pdeathsig', 'KILL', 'bpftrace', '-B', 'line', script]
    const child = spawn('setpriv', args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const witness = new Witness(child, file)
    await waitForOutput(child, 'ready', 120_000)
    return witness
  }

  /** Ends the watch; answers with the owner of every connection and exchange out of these namespaces. Throws if it missed anything. */
  async stop(spaces: Spaces): Promise<TruthLine[]> {
    this.#child.kill('SIGINT')
    await once(this.#child, 'close')
    const lost = /Lost \d+ events/.exec(this.#complaints)
    if (lost) throw new Error(`the witness missed something: ${lost[0]}`)
    return testimony(readFileSync(this.#file, 'utf8'), spaces, monotonicOriginUs())
  }
}

/** Microseconds since the epoch at which the monotonic clock was zero. */
const monotonicOriginUs = (): number => Date.now() * 1000 - Number(process.hrtime.bigint() / 1000n)

/** The packet that opens a connection from elsewhere comes so long before its owner's first. */
const leadUs = 20_000
const notEnded = Number.MAX_SAFE_INTEGER

/** What witness.bt printed, as truth. */
export function testimony(text: string, spaces: Spaces, originUs: number): TruthLine[] {
  const told = text.split('\n').flatMap(line => {
    const [kind, time, ...words] = line.split(' ')
    return words.length === 0 ? [] : [{ kind, timeUs: Math.round(Number(time) / 1000 + originUs), words }]
  })
  told.sort((a, b) => a.timeUs - b.timeUs) // each processor has a buffer of its own
  const processes = new Processes()
  const uses = new Uses(processes)
  for (const { kind, timeUs, words } of told) {
    if (kind === 'exec') processes.exec(Number(words[0]), words.slice(1).join(' '))
    else if (kind === 'fork') processes.fork(Number(words[0]), Number(words[1]))
    else if (kind === 'user') uses.user(words[1]!, Number(words[0]))
    else if (kind === 'close') uses.close(words[0]!, timeUs)
    else if (kind === 'sent') {
      const [pid, socket, space, protocol, source, sourcePort, destination, destinationPort] = words as [
        string,
        ...string[],
      ]
      const host_id = spaces.get(Number(space))
      if (host_id === undefined || isLoopback(source!)) continue
      uses.sent(socket!, Number(pid), {
        ...{ host_id, proto: protocol === '6' ? 'tcp' : 'udp' },
        ...{ local_ip: source!, local_port: fromNetwork(sourcePort!) },
        ...{ remote_ip: destination!, remote_port: fromNetwork(destinationPort!) },
        ...{ first_us: timeUs - leadUs, last_us: notEnded, owners: [] },
      })
    }
  }
  return uses.end(told.at(-1)?.timeUs ?? 0)
}

class Processes {
  readonly #programs = new Map<number, string>()
  readonly #parents = new Map<number, number>()

  /** Browsers start processes of their own program by this name. */
  exec(pid: number, file: string): void {
    if (file === '/proc/self/exe') return
    this.#programs.set(pid, path.basename(realPath(file)))
  }

  fork(pid: number, child: number): void {
    this.#parents.set(child, pid)
    this.#programs.set(child, this.program(pid))
  }

  program(pid: number): string {
    return this.#programs.get(pid) ?? ''
  }

  isRelated(pid: number, other: number): boolean {
    return pid === other || this.#parents.get(pid) === other || this.#parents.get(other) === pid
  }
}

interface Use {
  socket: string
  line: TruthLine
}

/** Which sockets sent what, in order of time. */
class Uses {
  readonly #processes: Processes
  readonly #byEnds = new Map<string, Use>()
  readonly #tcp = new Map<string, TruthLine>()
  readonly #truth: TruthLine[] = []

  constructor(processes: Processes) {
    this.#processes = processes
  }

  sent(socket: string, pid: number, line: TruthLine): void {
    const { host_id, proto, local_ip, local_port, remote_ip, remote_port, first_us } = line
    const ends = `${host_id} ${proto} ${local_ip} ${local_port} ${remote_ip} ${remote_port}`
    const before = this.#byEnds.get(ends)
    if (before?.line.last_us === notEnded) {
      const isSame = proto === 'tcp' ? before.socket === socket : this.#isShared(before.line, pid)
      if (isSame) {
        this.#own(before.line, pid)
        return
      }
      before.line.last_us = first_us
    }
    this.#own(line, pid)
    this.#byEnds.set(ends, { socket, line })
    if (proto === 'tcp') this.#tcp.set(socket, line)
    this.#truth.push(line)
  }

  user(socket: string, pid: number): void {
    const line = this.#tcp.get(socket)
    if (line) this.#own(line, pid)
  }

  close(socket: string, timeUs: number): void {
    const line = this.#tcp.get(socket)
    if (line) line.last_us = timeUs
    this.#tcp.delete(socket)
  }

  end(endUs: number): TruthLine[] {
    for (const line of this.#truth) line.last_us = Math.min(line.last_us, endUs)
    return this.#truth
  }

  /** Parent and child may send on one port, by one socket or one each. The port of a stranger has been used again. */
  #isShared({ owners }: TruthLine, pid: number): boolean {
    return owners.some(owner => this.#processes.isRelated(owner.pid!, pid))
  }

  #own(line: TruthLine, pid: number): void {
    const process = this.#processes.program(pid)
    if (!line.owners.some(owner => owner.pid === pid && owner.process === process))
      line.owners = [...line.owners, { process, pid }]
  }
}

/** Does not reach the mirror port. */
const isLoopback = (ip: string): boolean => ip === '::1' || ip.startsWith('127.')

/** A port whose two bytes are as the network has them. */
const fromNetwork = (port: string): number => ((Number(port) & 255) << 8) | (Number(port) >> 8)

/** The program that a name stands for: python3 is python3.11. */
function realPath(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return file
  }
}
