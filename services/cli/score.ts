import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { Command } from 'commander'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import { Scorer } from '../lab/score.ts'
import { scoreText, wrongText } from '../lab/score-text.ts'
import { TruthTable, toTruthLine } from '../lab/truth-line.ts'
import { readJsonLines, readSessions } from './read-json-lines.ts'
import { wholeNumber } from './whole-number.ts'

/** Wrong labels shown; all of them go to the file of `--wrong`. */
const shown = 20

export const scoreCommand = (): Command =>
  new Command('score')
    .description('holds labeled sessions against the truth: how many have a label, and how many of those are right')
    .argument('<truth>', 'who owned what, as JSON lines (services/lab/truth-line.ts tells the format)')
    .argument('<sessions>', 'labeled sessions as JSON lines, all revisions or the last; - for standard input')
    .option('--slack-ms <ms>', "how far truth's clock and the capture's may be apart", wholeNumber(0, 3_600_000), 2000)
    .option('--wrong <file>', 'where every wrong label goes, a line each with its evidence')
    .action(async (truthFile: string, sessionsFile: string, flags: { slackMs: number; wrong?: string }) => {
      const truth = new TruthTable(flags.slackMs * 1000)
      let bad = 0
      for await (const value of readJsonLines(truthFile)) {
        const line = toTruthLine(value)
        if (line === null) bad++
        else truth.add(line)
      }
      if (truth.size === 0) throw new InputError('PROCLABEL_INPUT', `${truthFile} holds no line of truth`)
      const scorer = new Scorer(truth)
      for await (const session of readSessions(sessionsFile)) {
        if (session === null) bad++
        else scorer.add(session)
      }
      const score = scorer.score()
      if (score.final.length === 0)
        throw new InputError('PROCLABEL_INPUT', `${truthFile} tells of no session in ${sessionsFile}`)
      const wrong = score.final.filter(({ verdict }) => verdict === 'wrong').map(wrongText)
      if (flags.wrong !== undefined) writeFileSync(flags.wrong, wrong.map(line => `${line}\n`).join(''))
      const more = wrong.length > shown ? [`… and ${wrong.length - shown} more: --wrong FILE takes them all`] : []
      const list = wrong.length === 0 ? [] : ['', `Wrong labels: ${wrong.length}`, ...wrong.slice(0, shown), ...more]
      process.stdout.write(`${[scoreText(score), ...list].join('\n')}\n`)
      if (bad > 0) {
        process.stderr.write(`proclabel: ${bad} lines are neither truth nor labeled sessions and were left out\n`)
        process.exitCode = exitCodes.damagedInput
      }
    })
