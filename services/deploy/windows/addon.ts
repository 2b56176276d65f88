import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { debianCommand, npmPackages, once } from '../tools.ts'

const run = promisify(execFile)
const repository = fileURLToPath(new URL('../../../', import.meta.url))
const native = path.join(repository, 'native')

const target = 'x86_64-w64-mingw32'
const sources = ['src/*.cc', 'src/{annotate,binding,files,packet,session}/*.cc']
/** Compiled as one: Windows' headers take longer than all of our own code. */
const windowsSources = 'src/windows/*.cc'
const libraries = ['delayimp', 'iphlpapi', 'ws2_32', 'advapi32']
/** 0x0A00 is Windows 10. */
const defines = [
  'NAPI_VERSION=9',
  'NAPI_CPP_EXCEPTIONS',
  'UNICODE',
  'NOMINMAX',
  'WIN32_LEAN_AND_MEAN',
  '_WIN32_WINNT=0x0A00',
]

/** The addon for 64-bit Windows, compiled on Debian with mingw-w64; the path of the .node file. Made once for each state of the sources. */
export async function windowsAddon(): Promise<string> {
  const compiler = await debianCommand(`${target}-g++-posix`, 'g++-mingw-w64-x86-64-posix')
  const headers = path.join(await npmPackages('node-api-headers@1.9.0'), 'node_modules/node-api-headers')
  const folder = await once(`windows-addon-${hashSources()}`, fresh => build(compiler, headers, fresh))
  return path.join(folder, 'proclabel.node')
}

function hashSources(): string {
  const hash = createHash('sha256')
  const files = [import.meta.filename, ...globSync(`${native}/src/**/*.{cc,hh}`).sort()]
  for (const file of files) hash.update(readFileSync(file))
  return hash.digest('hex').slice(0, 16)
}

async function build(compiler: string, headers: string, folder: string): Promise<void> {
  const windows = path.join(folder, 'windows.cc')
  const included = globSync(windowsSources, { cwd: native }).sort()
  writeFileSync(windows, included.map(file => `#include "${path.join(native, file)}"\n`).join(''))
  const files = [...globSync(sources, { cwd: native }).sort(), windows]
  const includes = ['src', '../node_modules/node-addon-api', `${headers}/include`].map(name => `-I${name}`)
  const flags = ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', ...defines.map(name => `-D${name}`), ...includes]
  // By number: files of two folders may have one name.
  const objects = files.map((_, i) => path.join(folder, `${i}.o`))
  const waiting = files.map((file, i) => [...flags, '-c', file, '-o', objects[i]!])
  const compileNext = async () => {
    for (let args = waiting.shift(); args; args = waiting.shift()) await run(compiler, args, { cwd: native })
  }
  await Promise.all([importLibrary(headers, folder), ...Array.from({ length: availableParallelism() }, compileNext)])
  const links = [`-L${folder}`, '-lnode', ...libraries.map(name => `-l${name}`)]
  // Static: the compiler's own libraries are on no Windows machine.
  await run(compiler, ['-shared', '-static', '-s', ...objects, ...links, '-o', path.join(folder, 'proclabel.node')])
}

/** What Node exports, to be looked for in the program that loads the addon (delay_load_hook.cc). */
async function importLibrary(headers: string, folder: string): Promise<void> {
  const exported = ['js_native_api', 'node_api'].flatMap(name =>
    readFileSync(`${headers}/def/${name}.def`, 'utf8').trim().split('\n').slice(2),
  )
  const definition = path.join(folder, 'node.def')
  writeFileSync(definition, `NAME NODE.EXE\nEXPORTS\n${exported.join('\n')}\n`)
  await run(`${target}-dlltool`, ['-d', definition, '-D', 'node.exe', '-y', path.join(folder, 'libnode.a')])
}
