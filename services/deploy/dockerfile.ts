/** The instructions of a Dockerfile, for who runs them without Docker. */

export interface Instruction {
  name: string
  /** All that follows the name, continuation lines joined. */
  text: string
}

export interface Stage {
  /** What it begins with: an image. */
  from: string
  /** By `AS`; null for the last. */
  name: string | null
  instructions: Instruction[]
}

/** Reads what our own Dockerfile is written in: comments, continuation lines, several stages; no here-documents. */
export function parseDockerfile(text: string): Stage[] {
  const whole = text.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n/g, ' ')
  const stages: Stage[] = []
  for (const line of whole.split('\n')) {
    const [, name, rest] = /^\s*([A-Z]+)\s+(.*\S)\s*$/.exec(line) ?? []
    if (name === undefined || rest === undefined) continue
    if (name === 'FROM') {
      const [, from, as] = /^(\S+)(?:\s+AS\s+(\S+))?$/.exec(rest)!
      stages.push({ from: from!, name: as ?? null, instructions: [] })
    } else stages.at(-1)!.instructions.push({ name, text: rest })
  }
  return stages
}

/** The paths of a COPY, and the stage they come from; null means the build context. */
export function parseCopy(text: string): { from: string | null; sources: string[]; target: string } {
  const words = text.split(/\s+/)
  const from = words[0]!.startsWith('--from=') ? words.shift()!.slice('--from='.length) : null
  const target = words.pop()!
  return { from, sources: words, target }
}

/** The settings of an ENV: `NAME=value` pairs. */
export const parseEnv = (text: string): Record<string, string> =>
  Object.fromEntries(Array.from(text.matchAll(/(\w+)=(\S*)/g), ([, name, value]) => [name!, value!]))

/**
 * Which paths of a build context Docker sends, by the lines of .dockerignore: the last that fits a path or a folder of it
 * counts. Understands what ours holds: names, `*`, `**` at the beginning, and `!`.
 */
export function contextFilter(ignore: string): (path: string) => boolean {
  const rules = ignore
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => ({ sent: line.startsWith('!'), fits: pattern(line.replace(/^!/, '')) }))
  return path => rules.findLast(({ fits }) => fits.test(path))?.sent ?? true
}

const pattern = (glob: string): RegExp => {
  const source = glob
    .replaceAll(/[.+^${}()|[\]]/g, '\\$&')
    .replaceAll('**/', '\0')
    .replaceAll('*', '[^/]*')
    .replaceAll('\0', '(?:.*/)?')
  return new RegExp(`^${source}(?:/|$)`)
}
