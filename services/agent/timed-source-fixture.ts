import type { NamespaceAddress, PolledReading, SocketPolls, SocketSource } from './socket-source.ts'

export type Polled = Partial<Pick<PolledReading, 'opened' | 'closed' | 'processes'>>

/** A source of tests: this process's own timer polls it. */
export class TimedSource implements SocketSource {
  readonly os = 'linux'
  readonly restriction = null
  polls = 0
  closed = 0
  readonly #poll: () => Polled
  readonly #addresses: NamespaceAddress[]
  #timer: NodeJS.Timeout | undefined

  /** `poll` tells what changed since its last call; nothing ever does when not given. */
  constructor(poll: () => Polled = () => ({}), addresses: NamespaceAddress[] = []) {
    this.#poll = poll
    this.#addresses = addresses
  }

  start(periodMs: number): SocketPolls {
    let readings: PolledReading[] = []
    let failure: { cause: unknown } | null = null
    let periods = 1
    let sinceLast = 0
    const tick = () => {
      if (sinceLast++ % periods > 0 || failure !== null) return
      sinceLast = 1
      try {
        readings.push(this.#read())
      } catch (cause) {
        failure = { cause }
      }
    }
    tick()
    this.#timer = setInterval(tick, periodMs)
    return {
      pace: wanted => {
        periods = wanted
      },
      take: () => {
        if (failure !== null) throw failure.cause
        const taken = readings
        readings = []
        return { readings: taken, missed: 0 }
      },
    }
  }

  addresses(): NamespaceAddress[] {
    return this.#addresses
  }

  close(): void {
    clearInterval(this.#timer)
    this.closed++
  }

  #read(): PolledReading {
    this.polls++
    const times = { timeUs: Date.now() * 1000, monotonicUs: Math.round(performance.now() * 1000) }
    return { ...times, durationUs: 300, cpuUs: 0, opened: [], closed: [], processes: [], ...this.#poll() }
  }
}
