/**
 * `label` on a generated capture, whole command on one core, against tcpdump and tshark on the same file in the same run.
 *
 * `node services/e2e/bench/label.ts [--runs 5] [--slow-runs 2] [--packets 2100000]`; the slow ones are tshark and labels.
 */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { writeCapture } from './make-capture.ts'
import { machine, median, type Run, repeat, runOnOneCore, spread } from './measure.ts'
import { defaultShape } from './traffic.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    'slow-runs': { type: 'string', default: '2' },
    packets: { type: 'string', default: String(defaultShape.packets) },
  },
})
const runs = Number(values.runs)
const slowRuns = Number(values['slow-runs'])
const folder = mkdtempSync(join(tmpdir(), 'proclabel-bench-'))
const label = `${process.execPath} services/cli/proclabel.mjs label`

try {
  console.log(
    `${machine()}; every command on one core, ${runs} runs (tshark and --sockets ${slowRuns}), median (lowest to highest)\n`,
  )
  console.log('| Frames | Command | packets/s | wall s | CPU s | time of tcpdump | peak MiB |')
  console.log('| --- | --- | --- | --- | --- | --- | --- |')
  for (const frameBytes of [64, 700]) {
    const capture = join(folder, `${frameBytes}.pcap`)
    const sockets = join(folder, `sockets-${frameBytes}`)
    const fd = openSync(capture, 'w')
    const made = writeCapture(fd, { ...defaultShape, packets: Number(values.packets), frameBytes }, sockets)
    closeSync(fd)
    const row = (name: string, results: Run[], base: number) =>
      console.log(
        `| ${frameBytes} B, ${made.sessions} sessions | ${name} ` +
          `| ${Math.round(made.packets / median(results.map(({ wallS }) => wallS))).toLocaleString('en-US')} ` +
          `| ${spread(results.map(({ wallS }) => wallS))} | ${spread(results.map(({ cpuS }) => cpuS))} ` +
          `| ${(median(results.map(({ wallS }) => wallS)) / base).toFixed(1)} × ` +
          `| ${Math.round(Math.max(...results.map(({ peakMiB }) => peakMiB)))} |`,
      )
    const run = (command: string, times = runs) => repeat(times, () => runOnOneCore(command))
    const tcpdump = run(`tcpdump -r ${capture} -w /dev/null`)
    const base = median(tcpdump.map(({ wallS }) => wallS))
    row('`tcpdump -r FILE -w /dev/null`', tcpdump, base)
    row('`capinfos FILE`', run(`capinfos ${capture}`), base)
    row('`label FILE`', run(`${label} ${capture} --quiet --out ${folder}/out.jsonl`), base)
    row(
      '`label FILE --sockets` (7 hosts)',
      run(`${label} ${capture} --sockets ${sockets} --quiet --out ${folder}/out.jsonl`, slowRuns),
      base,
    )
    row('`tshark -r FILE -q -z conv,tcp`', run(`tshark -r ${capture} -q -z conv,tcp`, slowRuns), base)
    rmSync(capture)
  }
} finally {
  rmSync(folder, { recursive: true })
}
