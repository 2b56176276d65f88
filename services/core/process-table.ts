import type { Label, Process } from '#schemas'
import { BoundedMap } from './bounded-map.ts'
import { labelOf } from './ownership.ts'

/** Processes of one host that are remembered; those told longest ago are forgotten first. */
const processesKept = 50_000

/** The dictionary of processes that the socket data of one run names by pid and start time. */
export class ProcessTable {
  readonly #labels = new BoundedMap<Label>(processesKept)
  /** Some process of this host runs in a container. */
  hasContainers = false

  tell(runId: string, processes: readonly Process[], nowUs: number): void {
    for (const process of processes) {
      const key = processKey(runId, process.pid, process.start_us)
      const known = this.#labels.get(key, nowUs)
      const label = labelOf(process)
      // The same object while nothing changed: intervals share it.
      this.#labels.set(key, known && isEqual(known, label) ? known : label, nowUs)
      this.hasContainers ||= process.container_id !== null
    }
  }

  /** Null for pid 0 (TIME_WAIT rows of Windows) and for a process that was not told. */
  find(runId: string, pid: number, startUs: number | null): Label | null {
    return pid === 0 ? null : (this.#labels.get(processKey(runId, pid, startUs), 0) ?? null)
  }
}

function processKey(runId: string, pid: number, startUs: number | null): string {
  return `${runId} ${pid} ${startUs}`
}

function isEqual(a: Label, b: Label): boolean {
  return a.process === b.process && a.path === b.path && a.service === b.service && a.container_id === b.container_id
}
