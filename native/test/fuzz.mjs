/**
 * Fuzzes the code of packets, sessions and capture files, with real ones as seeds, and the decoder of Windows events, by libFuzzer
 * of clang under the sanitizers. `node native/test/fuzz.mjs` does only this; PROCLABEL_FUZZ_SECONDS (10 for each target) and
 * PROCLABEL_FUZZ_SEED (1) set how long and from where. An input that fails stays in the working folder.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { capturesDir } from '../../services/shared/captures-dir.ts'
import { compile, link, native, pureWindowsSources } from './build.mjs'
import { writeSeeds } from './fuzz-seeds.mjs'

const seconds = process.env.PROCLABEL_FUZZ_SECONDS ?? '10'
const seed = process.env.PROCLABEL_FUZZ_SEED ?? '1'

const targets = ['frame_decoder', 'capture', 'record_run', 'annotator', 'etw_decoder']
const targetFile = target => `${target}_fuzz.cc`

/** How many targets passed and failed. */
export async function fuzz(folder) {
  if (capturesDir() === null) {
    console.log('SKIP fuzz: no test captures (set PROCLABEL_CAPTURES to their folder)')
    return { passed: 0, failed: 0 }
  }
  const compiler = 'clang++'
  const sources = globSync(['src/{annotate,files,packet,session}/*.cc', ...pureWindowsSources], { cwd: native }).sort()
  const files = [...sources, ...targets.map(target => `test/fuzz/${targetFile(target)}`)]
  const objects = await compile(
    compiler,
    ['-O1', '-fsanitize=fuzzer-no-link'],
    files,
    path.join(folder, 'fuzz-objects'),
  )
  const total = { passed: 0, failed: 0 }
  for (const target of targets) {
    const program = path.join(folder, target)
    const others = targets.filter(other => other !== target).map(targetFile)
    const own = objects?.filter(object => !others.some(other => object.endsWith(`${other}.o`)))
    const isBuilt = own && (await link(compiler, ['-fsanitize=fuzzer'], own, program))
    const isSound = isBuilt && run(program, await writeSeeds(target, path.join(folder, `${target}-seeds`)))
    console.log(`${isSound ? 'ok     ' : 'FAILED '} fuzz ${target}, ${seconds} s, seed ${seed}`)
    total[isSound ? 'passed' : 'failed']++
  }
  return total
}

/** libFuzzer tells a line for every find; only what it says at a failure is of interest. */
function run(program, seeds) {
  const args = [`-max_total_time=${seconds}`, `-seed=${seed}`, '-max_len=16384', '-timeout=10', seeds]
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) process.stdout.write(`${stdout}${stderr}`.split('\n').slice(-80).join('\n'))
  return status === 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-fuzz-'))
  try {
    const { failed } = await fuzz(folder)
    process.exitCode = failed === 0 ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true })
  }
}
