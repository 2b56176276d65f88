/** What the stack runs, from Maven Central, kept under node_modules/.cache. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const cache = fileURLToPath(new URL('../../../node_modules/.cache/proclabel-stack', import.meta.url))
const pom = fileURLToPath(new URL('pom.xml', import.meta.url))
/** 3.1 and later need Java 21, Debian 12 has 17. */
const registryVersion = '3.0.9'

const run = promisify(execFile)

/** 2.8 is what Maven 3.8 itself picks; later ones want the registry's parent POM, which its makers did not publish. */
const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:2.8'

async function maven(goal: string, ...args: string[]): Promise<void> {
  try {
    await run('mvn', ['--batch-mode', '--quiet', '--strict-checksums', `${plugin}:${goal}`, ...args], {
      maxBuffer: 1 << 26,
    })
  } catch (error) {
    const { stdout, message } = error as { stdout?: string; message: string }
    throw new Error(`Maven could not bring the stack's programs: ${message}\n${stdout ?? ''}`)
  }
}

/** Fills a folder of the cache once; several processes may try at the same time, the first to finish wins. */
async function cached(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = `${cache}/${name}`
  if (existsSync(folder)) return folder
  mkdirSync(cache, { recursive: true })
  const making = mkdtempSync(`${cache}/making-`)
  try {
    await fill(making)
    try {
      renameSync(making, folder)
    } catch (error) {
      if (!existsSync(folder)) throw error
    }
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
  return folder
}

/** The folder with the jars of the Kafka broker. */
export function kafkaJars(): Promise<string> {
  const version = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 16)
  return cached(`kafka-${version}`, folder =>
    maven('copy-dependencies', '--file', pom, '-DincludeScope=runtime', `-DoutputDirectory=${folder}`),
  )
}

/** The jar that starts the registry. */
export async function registryJar(): Promise<string> {
  const name = `apicurio-registry-app-${registryVersion}`
  const folder = await cached(name, async making => {
    const artifact = `io.apicurio:apicurio-registry-app:${registryVersion}:tar.gz:all`
    await maven('copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${making}`)
    const archive = `${making}/${name}-all.tar.gz`
    await run('tar', ['-xzf', archive, '-C', making])
    rmSync(archive)
  })
  return `${folder}/${name}-runner.jar`
}
