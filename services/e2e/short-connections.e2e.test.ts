import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LabeledSession } from '#schemas'
import { linuxMechanisms, openLinuxEvents } from '../agent/linux-events.ts'
import { compileGenerator } from './lab/generator.ts'
import { ended, hostAddresses, LabNetwork, waitForOutput, worldAddresses } from './lab/network.ts'
import { readRuns, scoreRuns, scoreWords } from './lab/process-runs.ts'
import { proclabel, startRecording } from './lab/recording.ts'
import { readSessions } from './lab/truth.ts'

/** How many processes; half of them TCP, half UDP. */
const processes = Number(process.env.PROCLABEL_SHORT_CONNECTIONS ?? 3000)

const canMakeNamespaces = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0
if (!canMakeNamespaces && process.env.CI === 'true') throw new Error('needs root and iproute2')

const programs = ['alder', 'birch', 'cedar', 'elm', 'fir', 'hazel', 'larch', 'maple', 'oak', 'pine', 'rowan']

for (const mechanism of linuxMechanisms) {
  test(`processes that exit at once are told by ${mechanism}`, { skip: whyNot(mechanism) }, async t => {
    const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-short-'))
    const network = new LabNetwork(`short-${mechanism}-${process.pid}`)
    try {
      const { truth, capture, sockets } = await record(network, folder, mechanism)
      const runs = readRuns(truth)
      assert.equal(runs.length, processes, 'every process did what it was to do')
      tellLives(t, runs)
      const lost = lostEvents(sockets)
      const withEvents = scoreRuns(runs, label(folder, capture, sockets))
      const withPolls = scoreRuns(runs, label(folder, capture, withoutEvents(sockets)))
      t.diagnostic(`${mechanism}, ${lost} events lost: ${scoreWords(withEvents)}`)
      // For comparison: what is not seen is inferred, and here nothing about a remote end or a port tells who comes next.
      t.diagnostic(`polls alone: ${scoreWords(withPolls)}`)
      assert.deepEqual(withEvents.wrong.slice(0, 5), [], `no wrong owner: ${scoreWords(withEvents)}`)
      const missed = withEvents.missed.slice(0, 5).map(one => JSON.stringify(one))
      assert.ok(withEvents.right >= 0.999 * runs.length, `${scoreWords(withEvents)}\n${missed.join('\n')}`)
    } finally {
      await network.close()
      rmSync(folder, { recursive: true })
    }
  })
}

/** Null where the mechanism can be had. */
function whyNot(mechanism: string): string | false {
  if (!canMakeNamespaces) return 'needs root and iproute2'
  const { source, refusals } = openLinuxEvents([mechanism])
  source?.close()
  return source === null ? refusals.join() : false
}

async function record(network: LabNetwork, folder: string, mechanism: string) {
  const [truth, capture, sockets] = ['truth.jsonl', 'capture.pcap', 'sockets'].map(name => path.join(folder, name)) as [
    string,
    string,
    string,
  ]
  const generator = compileGenerator(folder)
  const copies = path.join(folder, 'programs')
  mkdirSync(copies)
  for (const program of programs) copyFileSync(generator, path.join(copies, program))

  const peer = network.start('world', generator, ['peer'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await waitForOutput(peer, 'ready')
  const recording = await startRecording(network, { sockets, capture, hostId: 'desk', mechanism })
  await sleep(500)
  const args = ['drive', String(processes), ...worldAddresses, ...hostAddresses, copies, truth]
  const { status, errors } = await ended(network.start('host', generator, args, { stdio: ['ignore', 'pipe', 'pipe'] }))
  assert.deepEqual([status, errors], [0, ''])
  await sleep(1000)
  await recording.stop()
  return { truth, capture, sockets }
}

function label(folder: string, capture: string, sockets: string): LabeledSession[] {
  const out = path.join(folder, 'labeled.jsonl')
  execFileSync(process.execPath, [proclabel, 'label', capture, '--sockets', sockets, '--out', out, '--quiet'], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  return readSessions(out)
}

interface EventLine {
  topic: string
  lost?: number
}

function logLines(sockets: string): string[] {
  return readdirSync(sockets).flatMap(name => readFileSync(path.join(sockets, name), 'utf8').trim().split('\n'))
}

function lostEvents(sockets: string): number {
  return logLines(sockets).reduce((sum, line) => sum + ((JSON.parse(line) as EventLine).lost ?? 0), 0)
}

/** The same log as an agent without kernel events would have written it. */
function withoutEvents(sockets: string): string {
  const folder = `${sockets}-polled`
  mkdirSync(folder)
  const polled = logLines(sockets).filter(line => (JSON.parse(line) as EventLine).topic !== 'socket-events')
  writeFileSync(path.join(folder, 'desk.jsonl'), `${polled.join('\n')}\n`)
  return folder
}

/** How short they were, and how soon a port came again. */
function tellLives(t: TestContext, runs: ReturnType<typeof readRuns>): void {
  const quantiles = (values: readonly number[]) => {
    const sorted = values.toSorted((a, b) => a - b)
    return [0.5, 0.9, 0.99]
      .map(share => ((sorted[Math.floor(share * sorted.length)] ?? 0) / 1000).toFixed(2))
      .join(' / ')
  }
  t.diagnostic(
    `${runs.length} processes, lives in ms, median / 90 % / 99 %: ${quantiles(runs.map(run => run.life_us))}`,
  )
}
