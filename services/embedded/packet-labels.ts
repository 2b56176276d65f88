import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadNative, type NativeAnnotator, type NativeNote } from '#native'
import { ProclabelError } from '#shared/errors.ts'

/**
 * Labeled sessions, by which their packets are told. Few of them are in memory at a time, in whatever order they come: the others
 * wait in a folder of the system's for temporary files. Needs the addon (throws NativeLoadError), and to be closed.
 */
export class PacketLabels {
  readonly native: NativeAnnotator
  readonly #folder: string

  constructor() {
    const addon = loadNative()
    this.#folder = mkdtempSync(join(tmpdir(), 'proclabel-sessions-'))
    this.native = addon.openAnnotator(join(this.#folder, 'sessions'), noteOf)
  }

  /** Bytes of JSON lines, wherever they are parted. Throws PROCLABEL_OUTPUT when the folder is full. */
  read(lines: Uint8Array): void {
    try {
      this.native.read(lines)
    } catch (cause) {
      throw new ProclabelError('PROCLABEL_OUTPUT', `cannot write to ${this.#folder}: ${(cause as Error).message}`, {
        cause,
      })
    }
  }

  /** A labeled session, or what becomes one in JSON. */
  add(session: object): void {
    this.read(Buffer.from(`${JSON.stringify(session)}\n`))
  }

  close(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

type Facts = readonly [
  process: string | null,
  pid: number | null,
  stage: string | null,
  confidence: number | null,
  unknownCause: string | null,
  hostId: string | null,
]

/** The comment is `process=curl pid=4711 stage=A host=desk`; `unknown=too-short` in place of process, pid and stage. */
function noteOf(facts: string): NativeNote {
  const [process, pid, stage, confidence, unknown, host] = JSON.parse(facts) as Facts
  const parts =
    process === null
      ? { unknown: unknown ?? 'not-monitored' }
      : { process, pid, stage, confidence: confidence?.toFixed(4) ?? null }
  const comment = Object.entries({ ...parts, host })
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${/[\s"]/.test(String(value)) ? JSON.stringify(value) : value}`)
    .join(' ')
  return { comment, process, pid: pid ?? 0 }
}
