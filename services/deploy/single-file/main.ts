/** `node services/deploy/single-file/main.ts windows|linux FILE`: makes the agent as one file. */
import process from 'node:process'
import { buildSingleFile } from './build.ts'

const [system, out] = process.argv.slice(2)
if ((system !== 'windows' && system !== 'linux') || out === undefined) {
  process.stderr.write('usage: node services/deploy/single-file/main.ts windows|linux FILE\n')
  process.exit(2)
}
await buildSingleFile(system, out)
