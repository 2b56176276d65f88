import type { LabeledSession, SpltEntry } from '#schemas'

/** What `splt` of a session holds, in two columns: a sixth of the memory, and of the work to read it. */
export class FirstPackets {
  /** IP bytes, negative from the remote end. */
  readonly lengths: number[]
  /** Since the packet before, microseconds. */
  readonly gapsUs: number[]

  constructor(lengths: number[], gapsUs: number[]) {
    this.lengths = lengths
    this.gapsUs = gapsUs
  }

  static of(entries: readonly SpltEntry[]): FirstPackets {
    return new FirstPackets(
      entries.map(({ len }) => len),
      entries.map(({ gap_us }) => gap_us),
    )
  }

  toJSON(): SpltEntry[] {
    return this.lengths.map((len, i) => ({ len, gap_us: this.gapsUs[i]! }))
  }
}

/** A labeled session on its way into a table. */
export interface TableSession extends Omit<LabeledSession, 'splt'> {
  splt: FirstPackets
}

export const tableSession = (session: LabeledSession): TableSession => ({
  ...session,
  splt: FirstPackets.of(session.splt),
})
