import type { Label, Process, ProcessRef } from '#schemas'
import { BoundedMap } from './bounded-map.ts'
import { labelOf } from './ownership.ts'

/** Process ids of one host that are remembered; those told longest ago are forgotten first. */
const pidsKept = 50_000
/** Processes remembered of one id: it may be used again, and polls and events have runs of their own. */
const processesPerPid = 8

interface Told {
  runId: string
  startUs: number | null
  label: Label
  /** The label alone: most sockets have one holder, and share this list. */
  alone: readonly Label[]
}

/** The dictionary of processes that the socket data of each run names by pid and start time. */
export class ProcessTable {
  readonly #told = new BoundedMap<number, Told[]>(pidsKept)
  /** Some process of this host runs in a container. */
  hasContainers = false

  /** See Stored. */
  state() {
    return { told: this.#told.state(), hasContainers: this.hasContainers }
  }

  restore({ told, hasContainers }: ReturnType<ProcessTable['state']>): void {
    this.#told.restore(told)
    this.hasContainers = hasContainers
  }

  tell(runId: string, processes: readonly Process[], nowUs: number): void {
    for (const process of processes) {
      this.hasContainers ||= process.container_id !== null
      const told = this.#told.get(process.pid, nowUs) ?? []
      const known = told.find(one => one.startUs === process.start_us && one.runId === runId)
      // The same label object while nothing changes: intervals share it.
      if (known && isSame(known.label, process)) continue
      const others = told.filter(one => one !== known).slice(1 - processesPerPid)
      const label = labelOf(process)
      const fresh = { runId, startUs: process.start_us, label, alone: [label] }
      this.#told.set(process.pid, [...others, fresh], nowUs)
    }
  }

  /** Null for pid 0 (TIME_WAIT rows of Windows) and for a process that was not told. */
  find(runId: string, pid: number, startUs: number | null): Label | null {
    return this.#find(runId, pid, startUs)?.label ?? null
  }

  /** The holders of a socket, as far as they were told. */
  holders(runId: string, refs: readonly ProcessRef[]): readonly Label[] {
    const found = refs.flatMap(({ pid, start_us }) => this.#find(runId, pid, start_us) ?? [])
    return found.length === 1 ? found[0]!.alone : found.map(({ label }) => label)
  }

  #find(runId: string, pid: number, startUs: number | null): Told | null {
    if (pid === 0) return null
    return this.#told.get(pid, 0)?.find(one => one.startUs === startUs && one.runId === runId) ?? null
  }
}

function isSame(label: Label, process: Process): boolean {
  return (
    label.process === process.name &&
    label.path === process.path &&
    label.container_id === process.container_id &&
    label.pod === process.pod &&
    label.container_image === process.container_image &&
    label.service === (process.services.join(',') || null)
  )
}
