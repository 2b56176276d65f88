import { type MatchConstants, paperProfile } from '#core/constants.ts'
import { serverDomain } from './place.ts'
import type { AgentRecord, Change, Frame } from './recording.ts'
import { hosts } from './switch.ts'

/** A row of the table: the same traffic, seen otherwise. */
export interface Condition extends Change {
  title: string
  /** Nothing keeps the agents from seeing every socket: the targets of completeness and accuracy hold. */
  seesAll?: true
  constants?: Partial<MatchConstants>
}

const polling = { useEvents: false }

/** All conditions of the lab, in the order of the table. */
export const conditions: readonly Condition[] = [
  { title: 'events and polls', seesAll: true },
  { title: 'polls alone', constants: polling },
  {
    title: 'polls alone, guessing at every remote end',
    constants: { ...polling, remotePortNearUs: Number.POSITIVE_INFINITY, precisionFloor: 0 },
  },
  { title: "polls alone, the source's matching", constants: paperProfile },
  {
    title: 'two agents unheard for a quarter of the time',
    record: (said, { fromUs, toUs }) => {
      const share = (said.timeUs - fromUs) / (toUs - fromUs)
      const isOut = said.topic !== 'hosts' && share >= 0.5 && share < 0.75
      return isOut && hosts.indexOf(said.record.host_id as (typeof hosts)[number]) < 2 ? null : said
    },
  },
  {
    title: 'a tenth of the events lost, as the agent tells',
    record: (said, _, random) => {
      if (said.topic !== 'socket-events') return said
      const events = said.record.events.filter(() => !random.chance(0.1))
      const lost = said.record.lost + said.record.events.length - events.length
      return { ...said, record: { ...said.record, events, lost } }
    },
  },
  {
    title: 'clocks up to 3 s off, drifting by 50 ppm',
    seesAll: true,
    record: (said, { fromUs }) => offClock(said, fromUs),
  },
  {
    title: 'clocks up to 3 s off, drifting, polls alone',
    constants: polling,
    record: (said, { fromUs }) => offClock(said, fromUs),
  },
  { title: 'the mirror loses 1 in 1000', frame: (frame, random) => (random.chance(0.001) ? null : frame) },
  { title: 'the mirror loses 1 in 100', frame: (frame, random) => (random.chance(0.01) ? null : frame) },
  {
    title: 'half of the capture up to 200 ms late',
    seesAll: true,
    frame: (frame, random) => ({
      ...frame,
      arrivalUs: frame.arrivalUs + (random.chance(0.5) ? random.between(0, 200_000) : 0),
    }),
  },
  { title: 'server names hidden, polls alone', constants: polling, frame: hideName },
]

const times = new Set(['time_us', 'until_us', 'start_us', 'created_us', 'since_us', 'updated_us'])

/** As a host would have told it whose clock is off, each by another constant and drifting. */
function offClock(said: AgentRecord, fromUs: number): AgentRecord {
  const offsetUs = (hosts.indexOf(said.record.host_id as (typeof hosts)[number]) - 3) * 1_000_000
  const move = (value: unknown, name: string): unknown => {
    if (Array.isArray(value)) return value.map(item => move(item, ''))
    if (typeof value === 'number' && times.has(name)) return Math.round(value + offsetUs + (value - fromUs) * 50e-6)
    if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, move(item, key)]))
  }
  return { ...said, record: move(said.record, '') } as AgentRecord
}

const suffix = Buffer.from(serverDomain)
const shown = Buffer.from('ech')

/** With Encrypted Client Hello all that is shown is a name that many share: every name of the lab becomes that one. */
function hideName(frame: Frame): Frame {
  const at = Buffer.from(frame.data.buffer, frame.data.byteOffset, frame.data.length).indexOf(suffix)
  if (at < shown.length) return frame
  const data = Uint8Array.from(frame.data)
  data.set(shown, at - shown.length)
  return { ...frame, data }
}
