import type { Program } from './programs.ts'
import type { Random } from './random.ts'

/** A process of the simulated host; times are true, microseconds. */
export interface DayProcess {
  pid: number
  startUs: number
  endUs: number
  name: string
  service: string | null
}

export interface Span {
  fromUs: number
  toUs: number
}

const system = 'System'
const systemPid = 4
/** A pid of a process that ended is preferred this often, as far as one is at hand. */
const reuseShare = 0.1

/** The processes of one host: long-lived ones that are restarted now and then, brief ones of a burst, pids used again. */
export class Processes {
  readonly #random: Random
  readonly #span: Span
  readonly #long = new Map<string, DayProcess[]>()
  readonly #uses = new Map<number, Span[]>()
  readonly all: DayProcess[] = []

  constructor(random: Random, span: Span) {
    this.#random = random
    this.#span = span
  }

  /** The process of a long-lived program, or of its service, that runs at a time. */
  at(program: Program, service: string | null, timeUs: number): DayProcess {
    const key = `${program.name} ${service}`
    let chain = this.#long.get(key)
    if (!chain) {
      chain = this.#chain(program, service)
      this.#long.set(key, chain)
    }
    return chain.findLast(({ startUs }) => startUs <= timeUs) ?? chain[0]!
  }

  /** Ends when its user says so, within two hours. */
  brief(program: Program, startUs: number): DayProcess {
    return this.#create(program.name, null, startUs, startUs + 7_200_000_000)
  }

  /** Services run all day; other programs are started anew up to twice. */
  #chain({ name }: Program, service: string | null): DayProcess[] {
    const { fromUs, toUs } = this.#span
    const restarts = name === system || service !== null ? 0 : this.#random.below(3)
    const times = Array.from({ length: restarts }, () => this.#random.between(fromUs, toUs)).sort((a, b) => a - b)
    const starts = [fromUs - 3_600_000_000, ...times]
    return starts.map((startUs, i) => this.#create(name, service, startUs, starts[i + 1] ?? toUs + 3_600_000_000))
  }

  #create(name: string, service: string | null, startUs: number, endUs: number): DayProcess {
    const pid = name === system ? systemPid : this.#freePid(startUs, endUs)
    const process = { pid, startUs: Math.round(startUs), endUs: Math.round(endUs), name, service }
    this.all.push(process)
    return process
  }

  #freePid(fromUs: number, toUs: number): number {
    for (;;) {
      const used = this.#random.chance(reuseShare) ? [...this.#uses.keys()] : []
      const pid = used.length > 0 ? this.#random.pick(used) : 1000 + 4 * this.#random.below(8000)
      const uses = this.#uses.get(pid) ?? []
      if (uses.some(use => fromUs <= use.toUs && use.fromUs <= toUs)) continue
      this.#uses.set(pid, [...uses, { fromUs, toUs }])
      return pid
    }
  }
}
