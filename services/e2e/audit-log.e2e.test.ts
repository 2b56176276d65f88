import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { LabeledSession } from '#schemas'
import { Auditd, audited } from './lab/auditd.ts'
import { callWitness, startServers } from './lab/callers.ts'
import { compileGenerator } from './lab/generator.ts'
import { ended, hostAddresses, LabNetwork, waitForOutput, worldAddress, worldAddresses } from './lab/network.ts'
import { type ProcessRun, readRuns, runKey, scoreRuns, scoreWords, sessionKey } from './lab/process-runs.ts'
import { find } from './lab/programs.ts'
import { proclabel, startDump, startWorld } from './lab/recording.ts'
import { createCounter, Traffic } from './lab/traffic.ts'
import { readSessions, type Scored, score, scoreTable, Truth } from './lab/truth.ts'
import { startWitness, visit } from './lab/witness.ts'

const rules = readFileSync(fileURLToPath(new URL('../deploy/auditd.rules', import.meta.url)), 'utf8')
const reason = await Auditd.whyNot()

/** Its host's programs, and no others, are audited. */
class AuditedNetwork extends LabNetwork {
  override start(...[side, command, args, options]: Parameters<LabNetwork['start']>) {
    return side === 'host'
      ? super.start(side, ...audited(command, args), options)
      : super.start(side, command, args, options)
  }
}

/** Runs `use` with a network, and auditd beside it; both are gone afterwards, and so is the folder. */
async function withAuditd(
  settings: Readonly<Record<string, string>>,
  use: (lab: { folder: string; network: LabNetwork; auditd: Auditd }) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-audit-'))
  await using parts = new AsyncDisposableStack()
  parts.defer(() => rmSync(folder, { recursive: true }))
  const network = new AuditedNetwork(`audit-${process.pid}`)
  parts.defer(() => network.close())
  const auditd = await Auditd.start(folder, rules, settings)
  parts.defer(() => auditd.stop())
  await use({ folder, network, auditd })
}

const byAddress = hostAddresses.flatMap(address => ['--address', address])

function label(capture: string, sockets: string, ...more: string[]): LabeledSession[] {
  const out = `${capture}.jsonl`
  const args = [proclabel, 'label', capture, '--sockets', sockets, '--out', out, '--quiet', ...more]
  execFileSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'ignore'] })
  return readSessions(out)
}

/** What is not a run's is of the programs that `truth` knows. */
function judge(sessions: readonly LabeledSession[], runs: readonly ProcessRun[], truth: Truth) {
  const keys = new Set(runs.map(run => runKey(run.proto, run.family, run.local_port, run.remote_port)))
  const others = sessions.filter(session => !keys.has(sessionKey(session)))
  return { scored: score(others, truth, []), byRuns: scoreRuns(runs, sessions) }
}

/** ss tells a process by the name of its main thread; `exe` is that of a program started as /proc/self/exe. */
const threadNames: Readonly<Record<string, string>> = { MainThread: 'node', exe: path.basename(find('python3')) }

function withProgramName(session: LabeledSession): LabeledSession {
  const { label } = session
  if (label === null) return session
  return { ...session, label: { ...label, process: threadNames[label.process] ?? label.process } }
}

const wrongOnes = (scored: readonly Scored[]) => scored.filter(({ verdict }) => verdict === 'wrong')

function tell(t: TestContext, text: string): void {
  for (const line of text.split('\n')) t.diagnostic(line)
}

test(
  'programs and servers by the log of auditd: all that are alone at their remote end are labeled, and none wrong',
  {
    skip: reason ?? false,
  },
  t =>
    withAuditd({ log_format: 'ENRICHED', name_format: 'USER', name: 'desk', num_logs: '9' }, async lab => {
      const { folder, network, auditd } = lab
      const [capture, ssLog] = [path.join(folder, 'capture.pcap'), path.join(folder, 'desk.ss.log')]
      await startWorld(network, folder)
      const witnessed = await startWitness(network)
      const dump = await startDump(network, capture)
      const ports = await startServers(network, 8500)
      // As README.md says it.
      network.start('host', 'sh', ['-c', `while sleep 1; do date -Ins; ss -tunapOH; done >> ${ssLog}`])
      const truth = new Truth()
      const traffic = new Traffic(network, truth, createCounter())
      await sleep(1200) // the first dump
      const visits = ports.flatMap(port =>
        hostAddresses.map(address => visit(network, address, port, [0, 10, 700, 1500, 2600])),
      )
      const rotate = sleep(3000).then(() => auditd.rotate())
      const crowds = [worldAddress(4, 210), worldAddress(6, 210)].map(address => callWitness(network, address, 28))
      await Promise.all([traffic.mixture(1), traffic.crowd(), traffic.portReuse(), rotate, ...crowds])
      await traffic.servers()
      const runs = [...witnessed, ...(await Promise.all(visits)).flat()]
      await sleep(1200)
      await dump.stop()
      assert.equal(auditd.lost, 0)
      await auditd.stop()

      const logs = readdirSync(auditd.folder)
      assert.deepEqual(logs.sort(), ['audit.log', 'audit.log.1'])
      const sessions = label(capture, auditd.folder, ...byAddress)
      const { scored, byRuns } = judge(sessions, runs, truth)
      tell(t, `auditd: ${scoreWords(byRuns)}\n${scoreTable(scored)}`)
      assert.deepEqual([...wrongOnes(scored), ...byRuns.wrong], [], 'no wrong owner')
      assert.deepEqual(
        scored.filter(({ verdict }) => verdict !== 'right'),
        [],
      )
      assert.ok(byRuns.right >= 0.7 * runs.length, scoreWords(byRuns))
      // Those whom another program at the same remote end was near in time.
      for (const { session } of byRuns.missed) assert.equal(session?.unknown_cause, 'ambiguous')

      const raw = path.join(folder, 'desk.log')
      writeFileSync(raw, auditd.search('--raw'))
      assert.deepEqual(
        label(capture, raw, ...byAddress).map(({ label }) => label),
        sessions.map(({ label }) => label),
      )

      const bySs = judge(label(capture, ssLog).map(withProgramName), runs, truth)
      tell(t, `ss: ${scoreWords(bySs.byRuns)}\n${scoreTable(bySs.scored)}`)
      const seen = bySs.byRuns.wrong.filter(({ session }) => session.stage === 'A')
      assert.deepEqual([...seen, ...wrongOnes(bySs.scored.filter(({ session }) => session.stage === 'A'))], [])
      // Of a crowd at one remote end ss sees those that stay, and what is inferred from them is wrong of the others.
      tell(t, `${bySs.byRuns.wrong.length} of those wrong are inferred`)
    }),
)

test('processes that exit at once, by a raw log of auditd', { skip: reason ?? false }, t =>
  withAuditd({ log_format: 'RAW' }, async ({ folder, network, auditd }) => {
    const [capture, truth] = [path.join(folder, 'capture.pcap'), path.join(folder, 'truth.jsonl')]
    const generator = compileGenerator(folder)
    const programs = path.join(folder, 'programs')
    mkdirSync(programs)
    for (const name of ['alder', 'birch', 'cedar', 'elm']) copyFileSync(generator, path.join(programs, name))
    const peer = network.start('world', generator, ['peer'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await waitForOutput(peer, 'ready')
    const dump = await startDump(network, capture)
    const args = ['drive', '1200', ...worldAddresses, ...hostAddresses, programs, truth]
    assert.equal((await ended(network.start('host', generator, args))).status, 0)
    await sleep(500)
    await dump.stop()
    await auditd.stop()
    const scored = scoreRuns(readRuns(truth), label(capture, auditd.folder, ...byAddress))
    tell(t, `${scoreWords(scored)}, ${auditd.lost} events lost`)
    for (const one of scored.missed.slice(0, 5)) tell(t, JSON.stringify(one))
    assert.deepEqual(scored.wrong, [], 'no wrong owner')
  }),
)
