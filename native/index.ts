import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { NativeAddon } from './native.ts'

export type * from './native.ts'

/** The addon could not be loaded: not built, or built for another Node or machine. */
export class NativeLoadError extends Error {
  override readonly name = 'NativeLoadError'
  readonly code = 'PROCLABEL_NATIVE'
}

const places = ['build/Release/proclabel.node', 'build/Debug/proclabel.node']

let addon: NativeAddon | null = null

/** Loads the addon from this file: a single-file build carries it with itself. Throws what `require` throws. */
export function loadNativeFrom(file: string): void {
  addon = createRequire(file)(file) as NativeAddon
}

/** The addon, loaded at the first call. Throws NativeLoadError, which lists every path tried and what was wrong there. */
export function loadNative(): NativeAddon {
  if (addon !== null) return addon
  const require = createRequire(import.meta.url)
  const problems: string[] = []
  for (const place of places) {
    const path = fileURLToPath(new URL(place, import.meta.url))
    try {
      addon = require(path) as NativeAddon
      return addon
    } catch (error) {
      problems.push(`${path}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  throw new NativeLoadError(`the native addon cannot be loaded (npm run setup builds it); tried ${problems.join('; ')}`)
}

/** The addon; null where it cannot be loaded. */
export function loadNativeIfBuilt(): NativeAddon | null {
  try {
    return loadNative()
  } catch (error) {
    if (error instanceof NativeLoadError) return null
    throw error
  }
}
