import type { FrameColumns } from './frame-columns.ts'

/** The bytes read but not parsed yet: `data[begin, end)`. */
export interface Window {
  data: Uint8Array
  view: DataView
  begin: number
  end: number
}

/**
 * A file format's reader. `next` looks at the start of the window and takes one record or block from it: it adds a
 * frame to `frames` if there is one, and answers with the bytes to move on (perhaps beyond the window's end, for a
 * block that need not be looked at), or MORE if the window must hold more bytes first, or DAMAGED if nothing behind
 * can be read, or LOSS if frames were lost before the next one and `frames` holds some from before: a block does not reach
 * over a loss. `skip` counts records that had to be left out, by reason.
 */
export interface CaptureFormat {
  next: (window: Window, frames: FrameColumns, skip: (reason: string) => void) => number
  /** Takes a run of ordinary records at once, and answers with their bytes; 0 where there is none. */
  run: (window: Window, frames: FrameColumns) => number
  /** Frames lost before the last one that was taken; null where the format does not tell. */
  readonly dropped: number | null
}

export const MORE = 0
export const DAMAGED = -1
export const LOSS = -2
