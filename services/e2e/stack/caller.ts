import { readFileSync } from 'node:fs'

/** Name and parent of a process; null when it is gone. */
function look(pid: number): { name: string; parent: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const nameEnd = stat.lastIndexOf(')')
    return { name: stat.slice(stat.indexOf('(') + 1, nameEnd), parent: Number(stat.slice(nameEnd + 4).split(' ')[0]) }
  } catch {
    return null
  }
}

/** This process and those above it, up to whoever is to be watched: npm, which has a shell in between, or the parent. */
function callers(): { pid: number; parent: number }[] {
  const chain: { pid: number; parent: number }[] = []
  let pid = process.pid
  let at = look(pid)
  while (at !== null && at.parent > 1) {
    chain.push({ pid, parent: at.parent })
    pid = at.parent
    at = look(pid)
    if (process.env.npm_lifecycle_event === undefined || at?.name.startsWith('npm')) break
  }
  return chain
}

const started = callers()

/** Whether the process that started this one has ended, or npm, when it was `npm run`. */
export function callerIsGone(): boolean {
  return started.some(({ pid, parent }) => look(pid)?.parent !== parent)
}
