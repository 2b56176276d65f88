import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Compiles ../short/generator.cc into a folder; answers with the program's path. */
export function compileGenerator(folder: string): string {
  const generator = path.join(folder, 'generator')
  const source = fileURLToPath(new URL('../short/generator.cc', import.meta.url))
  execFileSync(process.env.CXX ?? 'g++', ['-std=c++20', '-O1', '-pthread', source, '-o', generator])
  return generator
}
