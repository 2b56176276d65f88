/** Compiles C++ of native/ without Node, several files at a time. */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const native = fileURLToPath(new URL('..', import.meta.url))

/** What of src/windows needs no Windows. */
export const pureWindowsSources = ['src/windows/{etw_decoder,etw_name,etw_tracker,socket_book,table_rows}.cc']

const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-D_GLIBCXX_ASSERTIONS']
const flags = ['-std=c++20', '-g', '-Wall', '-Wextra', ...sanitizers, '-Isrc', '-Itest']

/** Runs a command in native/ that shows its own output; its exit status. */
async function run(command, args) {
  const child = spawn(command, args, { cwd: native, stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise(resolve => {
    child.on('error', error => {
      console.log(`${command}: ${error.message}`)
      resolve(1)
    })
    child.on('close', resolve)
  })
}

/** Compiles source files under native/ to objects in `folder`; null where one does not compile. */
export async function compile(compiler, extraFlags, sources, folder) {
  mkdirSync(folder, { recursive: true })
  const files = sources.map(source => ({ source, object: path.join(folder, `${path.basename(source)}.o`) }))
  const waiting = [...files]
  let isSound = true
  const compileNext = async () => {
    for (let next = waiting.shift(); isSound && next; next = waiting.shift())
      isSound &&= (await run(compiler, [...flags, ...extraFlags, '-c', next.source, '-o', next.object])) === 0
  }
  await Promise.all(Array.from({ length: availableParallelism() }, compileNext))
  return isSound ? files.map(({ object }) => object) : null
}

/** Whether the program could be made. */
export async function link(compiler, extraFlags, objects, program) {
  return (await run(compiler, [...flags, ...extraFlags, ...objects, '-o', program])) === 0
}
