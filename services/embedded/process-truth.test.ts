import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { LabeledSession } from '#schemas'
import { capturesDir } from '#shared/captures-dir.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import {
  judgeLabels,
  labelWithLog,
  ownersWithoutSession,
  readTruthSets,
  shiftLog,
  type TruthCapture,
  type TruthSet,
  type TruthVerdict,
  truthKinds,
  wordsOf,
} from './test-truth.ts'

/**
 * Real Windows captures, labeled with the hosts' own event logs by the code that `proclabel label` runs, and held against
 * truth. The log that was not used is the judge; the one that was used says which owners must be found.
 */
const captures = capturesDir()
const sets = captures ? readTruthSets(path.join(captures, 'process_truth')) : []
const skip = captures ? false : 'no captures at hand'
const evidences = ['sysmon', 'security'] as const
type Evidence = (typeof evidences)[number]

const folder = mkdtempSync(path.join(tmpdir(), 'process-truth-'))
after(() => rmSync(folder, { recursive: true }))

async function shiftedLog({ name, log }: TruthSet, shiftS: number): Promise<string> {
  if (shiftS === 0) return log
  const out = path.join(folder, `${name}-${shiftS}.jsonl`)
  await shiftLog(log, shiftS * 1e6, out)
  return out
}

/** Sysmon's times are that fine, and the pairs of one host disagree by the round trip of a connection. */
const sysmonToleranceUs = 50_000

/** The offset that was applied is the one that truth observed; Security rounds down to a second, so there it is within it. */
function assertOffset(
  { offsets }: TruthSet,
  { host_id, evidence, stage }: LabeledSession,
  used: Evidence,
  shiftS: number,
): boolean {
  const observed = offsets[host_id!]?.[truthKinds[used]]
  if (stage !== 'A' || evidence.clock_offset_us === null || !observed) return false
  const offsetS = evidence.clock_offset_us / 1e6
  if (used === 'sysmon') {
    assert.ok(Math.abs(offsetS - shiftS - observed.median) * 1e6 <= sysmonToleranceUs, `${host_id}: offset ${offsetS}`)
  } else {
    const writtenS = Math.floor(shiftS)
    const [lowS, highS] = [observed.min + writtenS, observed.max + writtenS + 1]
    assert.ok(offsetS >= lowS && offsetS <= highS, `${host_id}: offset ${offsetS}, observed ${lowS} to ${highS}`)
  }
  return true
}

/** What a label says, without the times that move with the log. */
const labelWords = ({ session_id, label, stage }: LabeledSession) =>
  `${session_id} ${stage} ${label?.process} ${label?.pid} ${label?.path}`

async function judged(set: TruthSet, capture: TruthCapture, used: Evidence, shiftS: number): Promise<TruthVerdict[]> {
  const sessions = await labelWithLog(capture.file, await shiftedLog(set, shiftS), used)
  const kind = truthKinds[used]
  assert.deepEqual(ownersWithoutSession(sessions, capture, kind), [], 'every end that the log names has a session')
  return judgeLabels(sessions, set, capture, kind)
}

const row = (...cells: (string | number)[]) =>
  cells.map((cell, i) => (i === 0 ? String(cell).padEnd(74) : String(cell).padStart(9))).join('')

for (const used of evidences) {
  test(`${used} events name the owners of real Windows sessions, none wrong`, { skip }, async t => {
    let confirmed = 0
    let offsetsChecked = 0
    t.diagnostic(row('capture', 'sessions', 'labeled', 'right', 'wrong', 'missed', 'untold'))
    for (const set of sets) {
      for (const capture of set.captures) {
        const verdicts = await judged(set, capture, used, 0)
        const count = (wanted: TruthVerdict['verdict']) => verdicts.filter(({ verdict }) => verdict === wanted).length
        const labeled = verdicts.filter(({ session }) => session.label !== null)
        const counts = [count('right'), count('wrong'), count('missed'), count('untold')]
        t.diagnostic(row(path.basename(capture.file).slice(0, 72), verdicts.length, labeled.length, ...counts))

        const problems = verdicts.filter(({ verdict }) => verdict === 'wrong' || verdict === 'missed')
        assert.deepEqual(problems.map(wordsOf), [], set.name)
        // Where no log tells the owner, stage A has nothing to go by either.
        const guessed = labeled.filter(({ verdict, session }) => verdict === 'untold' && session.stage === 'A')
        assert.deepEqual(guessed.map(wordsOf), [], set.name)
        if (capture.trap) assert.deepEqual(labeled.map(wordsOf), [], `${set.name}: the same 5-tuple of another hour`)
        confirmed += labeled.filter(({ truly }) => truly !== null).length
        for (const { session } of verdicts) if (assertOffset(set, session, used, 0)) offsetsChecked++
      }
    }
    assert.ok(confirmed > 0 && offsetsChecked > 0, `${confirmed} owners confirmed, ${offsetsChecked} offsets checked`)
  })

  for (const shiftS of [11.5, -11.5, 23, -23]) {
    test(`${used} events of clocks ${shiftS} s off give the same labels, and the offset is found`, {
      skip,
    }, async () => {
      let offsetsChecked = 0
      for (const set of sets) {
        for (const capture of set.captures) {
          const [straight, shifted] = [await judged(set, capture, used, 0), await judged(set, capture, used, shiftS)]
          const words = (verdicts: TruthVerdict[]) => verdicts.map(({ session }) => labelWords(session)).sort()
          assert.deepEqual(words(shifted), words(straight), set.name)
          for (const { session } of shifted) if (assertOffset(set, session, used, shiftS)) offsetsChecked++
        }
      }
      assert.ok(offsetsChecked > 0)
    })
  }

  test(`${used} events of another hour are joined with nothing, by no stage`, { skip }, async () => {
    for (const set of sets) {
      for (const capture of set.captures) {
        for (const hours of [1, -1, 11]) {
          const sessions = await labelWithLog(capture.file, await shiftedLog(set, hours * 3600), used)
          const labeled = sessions.filter(({ label }) => label !== null)
          assert.deepEqual(labeled.map(labelWords), [], `${set.name}, ${hours} h`)
        }
      }
    }
  })
}

test('the command says how far apart a capture and a log of another hour are, and exits accordingly', {
  skip,
}, async () => {
  const set = sets.find(({ captures }) => captures.some(({ sessions }) => sessions.some(({ labelled }) => labelled)))!
  const command = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
  for (const [shiftS, apart] of [
    [11 * 3600, /begins after the capture ends, by 1?\d\.\d hours: nothing can match/],
    [-11 * 3600, /ends before the capture begins, by 1?\d\.\d hours: nothing can match/],
  ] as const) {
    const log = await shiftedLog(set, shiftS)
    const args = [command, 'label', set.captures[0]!.file, '--sockets', log, '--out', path.join(folder, 'out.jsonl')]
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 })
    assert.equal(status, exitCodes.unfitInputs, stderr)
    assert.match(stderr, apart)
  }
})
