import { fileURLToPath } from 'node:url'
import { worldAddress } from '../../e2e/lab/network.ts'
import { find, type Program } from '../../e2e/lab/programs.ts'
import type { Random } from '../day/random.ts'
import type { Tool } from './equipment.ts'

/** What a program is told of the place where it runs. */
export interface Place {
  random: Random
  /** This host's IPv4 address. */
  local: string
  /** Addresses of another observed host, IPv4 and IPv6, where servers wait (`serverPort`, SSH). */
  neighbour: readonly [string, string]
  /** The mail and SSH server's. */
  annex: readonly [string, string]
  /** Files of the run: SSH keys, browsers' profiles. */
  folder: string
  /** What the lab brought. */
  commands: Partial<Record<Tool, string>>
  /** Until no more programs are started, milliseconds. */
  leftMs: number
}

export interface Kind {
  name: string
  /** Of all runs. */
  weight: number
  /** Not run where the lab could not bring it. */
  needs?: Tool
  program: (place: Place) => Program
}

/** Of all server names. */
export const serverDomain = '.lab.example'
/** Server names, all of one length: an address serves many of them. */
export const names = Array.from({ length: 40 }, (_, i) => `n${String(i).padStart(2, '0')}${serverDomain}`)
/** Programs come back to the same few addresses, and share them. */
export const address = ({ random }: Place): string => worldAddress(random.chance(0.3) ? 6 : 4, 1 + random.ranked(60))
export const either = (place: Place, [v4, v6]: readonly [string, string]): string =>
  place.random.chance(0.3) ? v6 : v4
/** Milliseconds: under half a second in the middle, a few of many seconds. */
export const length = ({ random }: Place): number => Math.round(Math.min(40_000, random.logNormal(400, 1.3)))

export const shapesScript = fileURLToPath(new URL('shapes.py', import.meta.url))
export const shape = (name: string, ...args: (string | number)[]): Program => ({
  command: find('python3'),
  args: [shapesScript, name, ...args.map(String)],
})

/** Milliseconds: as far as the network is wide, and a server thinks. */
export const moment = ({ random }: Place): number => Math.round(Math.min(2000, random.logNormal(60, 1)))
/** Milliseconds: from 40 s on, as long as the run lasts. */
export const minutes = ({ random, leftMs }: Place): number =>
  Math.round(leftMs <= 40_000 ? leftMs : 40_000 * (leftMs / 40_000) ** random.uniform())
