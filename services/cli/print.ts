import process from 'node:process'

/** Writes to standard output; resolves once it is handed over, so that a process may be ended then. */
export const print = (text: string): Promise<void> =>
  new Promise(done => {
    process.stdout.write(text, () => done())
  })
