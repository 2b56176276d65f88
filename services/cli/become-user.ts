import { execFileSync } from 'node:child_process'
import process from 'node:process'
import { InputError } from '#shared/errors.ts'

/** This process goes on as another user, with that user's own group alone and no capability. Throws InputError when it cannot. */
export function becomeUser(name: string): void {
  const { setgid, setgroups, setuid } = process
  if (!setgid || !setgroups || !setuid) throw refused(name, 'this system has no such users')
  const [uid, gid] = ['-u', '-g'].map(option => idOf(name, option)) as [number, number]
  try {
    setgroups([gid])
    setgid(gid)
    setuid(uid)
  } catch (error) {
    throw refused(name, 'only root can', error)
  }
}

function idOf(name: string, option: string): number {
  try {
    return Number(execFileSync('id', [option, '--', name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch (error) {
    throw refused(name, 'there is no such user', error)
  }
}

const refused = (name: string, why: string, cause?: unknown) =>
  new InputError('PROCLABEL_CONFIG', `cannot go on as user '${name}': ${why}`, cause)
