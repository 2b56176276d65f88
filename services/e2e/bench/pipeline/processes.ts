import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/** Of /proc/PID/stat: a hundredth of a second on every Linux. */
const ticksPerSecond = 100

/** CPU seconds that a process has used so far, its threads included; 0 for one that is gone. */
export function cpuSecondsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may hold spaces; behind it, utime and stime are fields 14 and 15 of proc(5).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
  } catch {
    return 0
  }
}

/** Busy CPU seconds of the machine so far, whoever used them. */
export function machineCpuSeconds(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user! + nice! + system! + irq! + softirq!) / ticksPerSecond
}

/** A program of ours as a process of its own that can send messages; it dies with this one, however that ends. */
export function startProgram(file: string, settings: unknown, nodeOptions: readonly string[] = []): ChildProcess {
  // setpriv becomes the program, so the pid is the program's.
  const args = ['--pdeathsig', 'KILL', process.execPath, ...nodeOptions, file, JSON.stringify(settings)]
  return spawn('setpriv', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

export async function stopProgram(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await exit
  clearTimeout(timer)
}
