import { disturbances } from './disturbances.ts'

/** What a program does on the network. */
export type Habit =
  | 'dns'
  | 'web'
  | 'web-long'
  | 'quic'
  | 'ssh-server'
  | 'multicast'
  | 'ntp'
  | 'netbios'
  | 'smb'
  | 'peer'

export interface Program {
  name: string
  /** Of all sessions. */
  share: number
  habits: readonly (readonly [Habit, number])[]
  /** Service of the shared host process that has a habit; a process for each. */
  services?: Partial<Record<Habit, string>>
  /** Server names of its own; a browser goes anywhere. */
  names: number | 'any'
  /** Each burst is a process of its own that ends with it. */
  isBrief: boolean
}

const { ownResolverShare } = disturbances
const app = [
  ['web', 0.85],
  ['web-long', 0.15],
  ['dns', ownResolverShare],
] as const
const browser = [
  ['web', 0.55],
  ['quic', 0.35],
  ['web-long', 0.1],
  ['dns', ownResolverShare],
] as const

/** The mix of the source's 24 hours, its Table 3: shares of the labels that it gave, so they are what to aim at. */
const named: readonly Program[] = [
  {
    name: 'svchost.exe',
    share: 0.5601,
    habits: [
      ['dns', 0.8],
      ['web', 0.12],
      ['multicast', 0.06],
      ['ntp', 0.02],
    ],
    services: { dns: 'Dnscache', web: 'wuauserv', multicast: 'SSDPSRV', ntp: 'W32Time' },
    names: 12,
    isBrief: false,
  },
  { name: 'chrome.exe', share: 0.1577, habits: browser, names: 'any', isBrief: false },
  { name: 'sshd.exe', share: 0.0719, habits: [['ssh-server', 1]], names: 0, isBrief: false },
  { name: 'Code.exe', share: 0.0328, habits: app, names: 6, isBrief: false },
  { name: 'Perplexity.exe', share: 0.0235, habits: app, names: 3, isBrief: false },
  { name: 'lghub_agent.exe', share: 0.0156, habits: [['web', 1]], names: 2, isBrief: false },
  {
    name: 'parsecd.exe',
    share: 0.0154,
    habits: [
      ['peer', 0.4],
      ['web', 0.6],
    ],
    names: 2,
    isBrief: false,
  },
  { name: 'msedgewebview2.exe', share: 0.0147, habits: browser, names: 'any', isBrief: false },
  { name: 'Notion.exe', share: 0.014, habits: app, names: 3, isBrief: false },
  {
    name: 'System',
    share: 0.0119,
    habits: [
      ['netbios', 0.6],
      ['smb', 0.4],
    ],
    names: 0,
    isBrief: false,
  },
]

/** The others, 115 programs in all: a few of some weight, many of little; every third one a tool that ends with its work. */
function others(count: number, share: number): Program[] {
  const weights = Array.from({ length: count }, (_, i) => 1 / (i + 3))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight, i) => ({
    name: `app${i + 1}.exe`,
    share: (share * weight) / sum,
    habits: i % 7 === 0 ? [...app, ['peer', 0.2] as const] : app,
    names: 1 + (i % 4),
    isBrief: i % 3 === 0,
  }))
}

export const programs: readonly Program[] = [...named, ...others(105, 0.0804)]
