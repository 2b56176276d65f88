/**
 * Fuzzes the code of packets, sessions and capture files, with real ones as seeds, and the decoder of Windows events alone under the sanitizers: by libFuzzer where clang++ is there, else by
 * a driver of ours that knows no coverage. `node native/test/fuzz.mjs` does only this; PROCLABEL_FUZZ_SECONDS (10 for each
 * target) and PROCLABEL_FUZZ_SEED (1) set how long and from where. An input that fails stays in the working folder.
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

const targets = ['frame_decoder', 'capture', 'record_run', 'etw_decoder']
const targetFile = target => `${target}_fuzz.cc`

/** How many targets passed and failed. */
export async function fuzz(folder) {
  if (capturesDir() === null) {
    console.log('SKIP fuzz: no test captures (set PROCLABEL_CAPTURES to their folder)')
    return { passed: 0, failed: 0 }
  }
  const hasLibFuzzer = canLinkLibFuzzer(folder)
  const compiler = hasLibFuzzer ? 'clang++' : (process.env.CXX ?? 'g++')
  const flags = ['-O1', ...(hasLibFuzzer ? ['-fsanitize=fuzzer-no-link'] : [])]
  const driver = hasLibFuzzer ? [] : ['test/fuzz/driver.cc']
  const sources = [
    ...globSync(['src/{files,packet,session}/*.cc', ...pureWindowsSources], { cwd: native }).sort(),
    ...driver,
  ]
  const files = [...sources, ...targets.map(target => `test/fuzz/${targetFile(target)}`)]
  const objects = await compile(compiler, flags, files, path.join(folder, 'fuzz-objects'))
  const total = { passed: 0, failed: 0 }
  for (const target of targets) {
    const program = path.join(folder, target)
    const others = targets.filter(other => other !== target).map(targetFile)
    const own = objects?.filter(object => !others.some(other => object.endsWith(`${other}.o`)))
    const isBuilt = own && (await link(compiler, hasLibFuzzer ? ['-fsanitize=fuzzer'] : [], own, program))
    const isSound = isBuilt && run(program, await writeSeeds(target, path.join(folder, `${target}-seeds`)))
    console.log(`${isSound ? 'ok     ' : 'FAILED '} fuzz ${target}, ${seconds} s, seed ${seed}, ${compiler}`)
    total[isSound ? 'passed' : 'failed']++
  }
  return total
}

/** clang++ alone is not enough: its runtime libraries are a package of their own. */
function canLinkLibFuzzer(folder) {
  const input = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
  const args = ['-fsanitize=fuzzer,address,undefined', '-x', 'c++', '-', '-o', path.join(folder, 'probe')]
  return spawnSync('clang++', args, { input }).status === 0
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
