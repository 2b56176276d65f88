import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'

/** One run of a command: wall and CPU seconds, and the most memory it held, MiB. */
export interface Run {
  wallS: number
  cpuS: number
  peakMiB: number
}

/** Runs a command to its end on one core (`taskset -c 0`), its input from a file or a shell pipe. Throws when it fails. */
export function runOnOneCore(command: string): Run {
  const timed = spawnSync('/usr/bin/time', ['-f', '%e %U %S %M', 'taskset', '-c', '0', 'sh', '-c', command], {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (timed.status !== 0) throw new Error(`${command}: ${timed.stderr}`)
  const [wallS, userS, systemS, peakKiB] = timed.stderr.trim().split('\n').at(-1)!.split(' ').map(Number)
  return { wallS: wallS!, cpuS: userS! + systemS!, peakMiB: peakKiB! / 1024 }
}

export const repeat = <T>(times: number, run: () => T): T[] => Array.from({ length: times }, run)

/** Median and spread of some figures, as `median (lowest to highest)`. */
export function spread(values: readonly number[], digits = 2): string {
  const sorted = values.toSorted((a, b) => a - b)
  return `${median(values).toFixed(digits)} (${sorted[0]!.toFixed(digits)} to ${sorted.at(-1)!.toFixed(digits)})`
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The machine and the versions, one line. */
export function machine(): string {
  const version = (command: string, ...args: string[]) =>
    execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n')[0]!
      .trim()
  const cpu = /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? os.arch()
  const commit = version('git', 'rev-parse', '--short', 'HEAD')
  return [
    `${os.cpus().length} × ${cpu}`,
    `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
    `Linux ${os.release()}`,
    `Node ${process.version}`,
    version('tcpdump', '--version'),
    version('tshark', '--version').replace(/\.$/, ''),
    `commit ${commit}`,
    new Date().toISOString().slice(0, 10),
  ].join(', ')
}
