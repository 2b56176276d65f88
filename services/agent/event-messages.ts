import type { Process, SocketEvent, SocketEvents } from '#schemas'
import type { EventReading, EventSource } from './event-source.ts'

/** Events of one message: some 300 KB, well below what a bus takes. */
export const MAX_EVENTS = 4096
/** Processes that are remembered as told; then all are told again. */
const MAX_TOLD = 16_384

/** Gathers readings into messages. A message names every process that was not told before. */
export class EventMessages {
  readonly #hostId: string
  readonly #runId: string
  readonly #source: Pick<EventSource, 'mechanism' | 'complete'>
  /** By pid and start: the process as it was told last. */
  readonly #told = new Map<string, Process>()
  #ready: SocketEvents[] = []
  #events: SocketEvent[] = []
  #processes = new Map<string, Process>()
  #lost = 0
  #untilUs = 0
  #seq = 0

  constructor(hostId: string, runId: string, source: Pick<EventSource, 'mechanism' | 'complete'>) {
    this.#hostId = hostId
    this.#runId = runId
    this.#source = source
  }

  add({ events, processes, lost, untilUs }: EventReading): void {
    this.#lost += lost
    for (const [i, event] of events.entries()) {
      const process = processes[i]!
      // A program that became another (exec) keeps its identity: what it did before is told under its former name.
      const isRenamed = process !== null && isOther(this.#processes.get(keyOf(process)), process)
      if (isRenamed || this.#events.length === MAX_EVENTS) this.#endWithin()
      this.#events.push(event)
      if (process !== null) this.#name(process)
    }
    this.#untilUs = untilUs
  }

  /** The messages since the last call, the last one up to the last reading: a tick when nothing happened. */
  take(): SocketEvents[] {
    this.#end()
    const messages = this.#ready
    this.#ready = []
    return messages
  }

  /** Tells every process anew from here on: a message got lost, or a reader begins here. */
  restart(): void {
    this.#told.clear()
  }

  #name(process: Process): void {
    const key = keyOf(process)
    const told = this.#told.get(key)
    if (told !== undefined && !isOther(told, process)) return
    if (this.#told.size >= MAX_TOLD) this.#told.clear()
    this.#told.set(key, process)
    this.#processes.set(key, process)
  }

  /** A message ends within a reading: it reaches to its last event. */
  #endWithin(): void {
    this.#untilUs = Math.max(this.#untilUs, this.#events.at(-1)?.time_us ?? 0)
    this.#end()
  }

  #end(): void {
    this.#ready.push({
      host_id: this.#hostId,
      run_id: this.#runId,
      seq: this.#seq++,
      source: this.#source.mechanism,
      complete: this.#source.complete,
      lost: this.#lost,
      until_us: this.#untilUs,
      events: this.#events,
      processes: [...this.#processes.values()],
    })
    this.#events = []
    this.#processes = new Map()
    this.#lost = 0
  }
}

const keyOf = ({ pid, start_us }: { pid: number; start_us: number | null }): string => `${pid} ${start_us}`

const isOther = (known: Process | undefined, process: Process): boolean =>
  known !== undefined && (known.name !== process.name || known.path !== process.path)
