import { createHash } from 'node:crypto'
import { mkdir, realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import process from 'node:process'
import { InputError } from './errors.ts'

/**
 * Takes a folder, which is made, for this process alone; answers with how to give it back. `what` names it in the message. The lock is a socket without a file (Linux: abstract;
 * Windows: a pipe), so the kernel gives it back when the process is killed. Rejects with InputError when another process has it.
 */
export async function lockFolder(folder: string, what = 'the spool'): Promise<() => Promise<void>> {
  const name = `proclabel-spool-${createHash('sha256')
    .update(await nameOf(folder))
    .digest('hex')
    .slice(0, 32)}`
  const server = createServer(socket => socket.destroy())
  await new Promise<void>((taken, refused) => {
    server.once('listening', taken)
    server.once('error', cause =>
      refused(
        new InputError('PROCLABEL_SPOOL', `${what} ${folder} is used by another process: give each its own`, cause),
      ),
    )
    server.listen(process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : `\0${name}`)
  })
  server.unref()
  return () => new Promise(released => server.close(() => released()))
}

/** The same for every path to the folder: through links, and on Windows in small and large letters. */
async function nameOf(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true })
    return await realpath(folder)
  } catch {
    // It cannot be used, which is for its user to find out.
    return resolve(folder)
  }
}
