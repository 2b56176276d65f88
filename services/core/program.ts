import type { Label } from '#schemas'

/** Two labels of one program: what they disagree on becomes null. The process name must be the same. */
export function commonLabel(a: Label, b: Label): Label {
  if (isSame(a, b)) return a
  return {
    process: a.process,
    pid: a.pid === b.pid ? a.pid : null,
    process_start_us: a.pid === b.pid && a.process_start_us === b.process_start_us ? a.process_start_us : null,
    path: a.path === b.path ? a.path : null,
    service: a.service === b.service ? a.service : null,
    container_id: a.container_id === b.container_id ? a.container_id : null,
    pod: a.pod === b.pod ? a.pod : null,
    container_image: a.container_image === b.container_image ? a.container_image : null,
    parent: a.parent === b.parent ? a.parent : null,
  }
}

function isSame(a: Label, b: Label): boolean {
  return (
    a.pid === b.pid &&
    a.process_start_us === b.process_start_us &&
    a.path === b.path &&
    a.service === b.service &&
    a.container_id === b.container_id &&
    a.pod === b.pod &&
    a.container_image === b.container_image &&
    a.parent === b.parent
  )
}

/** The program without the process: all that an inferred label may claim. */
export function programOf(label: Label): Label {
  return label.pid === null && label.process_start_us === null ? label : { ...label, pid: null, process_start_us: null }
}

/** A program of which nothing but its name is known. */
export const programNamed = (process: string): Label => ({
  process,
  pid: null,
  process_start_us: null,
  path: null,
  service: null,
  container_id: null,
  pod: null,
  container_image: null,
  parent: null,
})

/** What a stage that infers answers with. */
export interface Inference {
  label: Label
  reason: string
  /** Sessions or sockets that it rests on. */
  support: number
  /** Share of them that named this program; null where the stage needs them all. */
  share: number | null
}
