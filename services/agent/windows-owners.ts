import { startOfGuid, type WindowsRecord } from './windows-log-record.ts'

/** The process that an event means. */
export interface Owner {
  pid: number
  startUs: number | null
  image: string | null
}

/** Finds the process of each record of one log of one host, from all that its records have told so far. */
export interface Owners {
  /** Before they are asked for. */
  learn: (records: readonly WindowsRecord[]) => void
  find: (record: WindowsRecord, timeUs: number) => Owner
}

/** Processes of a host that are remembered; then all are learnt anew. */
const MAX_KNOWN = 100_000

/**
 * Sysmon tells a process by its guid, which holds its start time. What a record lacks, another of the same guid may
 * tell: the image, which Sysmon does not know of a process that has just begun, and the pid, which some collectors
 * lose. Without pid it is 0, and the start time alone tells processes apart. Event 3 runs by another clock than
 * event 1, so a connection may seem to be older than its process.
 */
export function createSysmonOwners(): Owners {
  const pids = new Map<string, number>()
  const images = new Map<string, string>()
  const starts = new Map<string, number>()
  const taken = new Set<number>()
  const learn = ({ process, kind, utc }: WindowsRecord) => {
    if (process.parentGuid !== null && process.parentPid !== null) pids.set(process.parentGuid, process.parentPid)
    if (process.guid === null) return
    if (process.pid !== null) pids.set(process.guid, process.pid)
    if (process.image !== null) images.set(process.guid, process.image)
    if (kind === 'start' && utc !== null) starts.set(process.guid, utc.us)
  }
  const startOf = (guid: string, pid: number): number => {
    let startUs = starts.get(guid)
    if (startUs !== undefined) return startUs
    startUs = startOfGuid(guid)
    if (pid === 0) while (taken.has(startUs)) startUs++ // two unknown pids of one second stay two processes
    taken.add(startUs)
    starts.set(guid, startUs)
    return startUs
  }
  return {
    learn: records => {
      if (pids.size + starts.size > MAX_KNOWN) for (const known of [pids, images, starts, taken]) known.clear()
      records.forEach(learn)
    },
    find: ({ process: { pid, guid, image } }) => {
      if (guid === null) return { pid: pid!, startUs: null, image }
      const known = pid ?? pids.get(guid) ?? 0
      return { pid: known, startUs: startOf(guid, known), image: image ?? images.get(guid) ?? null }
    },
  }
}

/** Security tells a process by its pid; its start time is known from the last start of that pid in the log. */
export function createSecurityOwners(): Owners {
  const running = new Map<number, Owner>()
  return {
    learn: () => {
      if (running.size > MAX_KNOWN) running.clear()
    },
    find: ({ kind, process: { pid, image } }, timeUs) => {
      const known = kind === 'start' ? undefined : running.get(pid!)
      const startUs = kind === 'start' ? timeUs : (known?.startUs ?? null)
      const owner = { pid: pid!, startUs, image: image ?? known?.image ?? null }
      if (kind === 'exit') running.delete(pid!)
      else running.set(pid!, owner)
      return owner
    },
  }
}
