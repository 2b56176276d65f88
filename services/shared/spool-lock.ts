import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import process from 'node:process'
import { InputError } from './errors.ts'

/**
 * Takes a folder for this process alone; answers with how to give it back. `what` names it in the message. The lock is a socket without a file (Linux: abstract;
 * Windows: a pipe), so the kernel gives it back when the process is killed. Rejects with InputError when another process has it.
 */
export async function lockFolder(folder: string, what = 'the spool'): Promise<() => Promise<void>> {
  const name = `proclabel-spool-${createHash('sha256').update(resolve(folder)).digest('hex').slice(0, 32)}`
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
