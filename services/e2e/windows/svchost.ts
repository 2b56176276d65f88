import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { debianCommand } from '../../deploy/tools.ts'
import { quiet, type Wine } from './wine.ts'

const run = promisify(execFile)

/** Of the service of a svchost.exe: its process and the ports that it speaks from. */
export interface Spoken {
  pid: number
  tcp: number
  udp: number
}

/**
 * Services of speaking_service.cc under Windows' own svchost.exe, by the group that each is in. Wine starts a svchost.exe for each
 * service, as Windows does on machines with over 3.5 GB of memory.
 */
export class SvchostServices {
  readonly #folder: string
  readonly #groups: Readonly<Record<string, string>>

  private constructor(folder: string, groups: Readonly<Record<string, string>>) {
    this.#folder = folder
    this.#groups = groups
  }

  /** Compiles them. */
  static async create(wine: Wine, groups: Readonly<Record<string, string>>): Promise<SvchostServices> {
    const compiler = await debianCommand('x86_64-w64-mingw32-g++-posix', 'g++-mingw-w64-x86-64-posix')
    const source = path.join(import.meta.dirname, 'speaking_service.cc')
    const flags = ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-DUNICODE', '-shared', '-static', '-s']
    await run(compiler, [...flags, source, '-lws2_32', '-o', path.join(wine.driveC, 'speaking.dll')])
    return new SvchostServices(wine.driveC, groups)
  }

  /** Lines for Wine.run: registers and starts them; goes on when all speak. */
  get start(): string {
    const groups = String.raw`HKLM\Software\Microsoft\Windows NT\CurrentVersion\Svchost`
    const services = String.raw`HKLM\System\CurrentControlSet\Services`
    return Object.entries(this.#groups)
      .flatMap(([service, group]) => [
        `reg add '${groups}' /v ${group} /t REG_MULTI_SZ /d ${service} /f`,
        `sc create ${service} binPath= '%SystemRoot%\\system32\\svchost.exe -k ${group}' type= share`,
        `reg add '${services}\\${service}\\Parameters' /v ServiceDll /t REG_EXPAND_SZ /d '%SystemDrive%\\speaking.dll' /f`,
        `sc start ${service}`,
      ])
      .map(quiet)
      .concat(Object.keys(this.#groups).map(service => `until [ -s '${this.#told(service)}' ]; do sleep 0.1; done; `))
      .join('')
  }

  spoken(service: string): Spoken {
    return JSON.parse(readFileSync(this.#told(service), 'utf8'))
  }

  #told(service: string): string {
    return path.join(this.#folder, `${service}.json`)
  }
}
