import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { LabeledSession } from '#schemas'
import { Dataset, type DatasetOptions } from './dataset.ts'
import { jsonLinesTable } from './json-lines-table.ts'
import { Balance, type PartPlan } from './parts.ts'
import { type TableSession, tableSession } from './table-session.ts'

export interface Division {
  /** Sessions of one process at most; null for all. */
  most: number | null
  plan: PartPlan | null
}

/**
 * Makes a dataset of another, of JSON lines, that is read several times: some of the sessions of each process, in parts
 * `split=train/…`. What is left out for the sake of the parts is counted in the manifest.
 */
export async function divide(from: string, options: DatasetOptions, { most, plan }: Division): Promise<Dataset> {
  const balance = most === null ? null : new Balance(most)
  if (balance) for await (const session of sessionsIn(from)) balance.count(session)
  const kept = async function* () {
    for await (const session of sessionsIn(from)) if (balance?.keeps(session) ?? true) yield session
  }
  if (plan) {
    for await (const session of kept()) plan.count(session)
    for await (const session of kept()) plan.place(session)
  }
  const dataset = new Dataset({ ...options, partOf: session => (plan ? `split=${plan.partOf(session)}/` : '') })
  let leftOut = 0
  for await (const session of kept()) {
    if (plan?.partOf(session) === null) leftOut++
    else await dataset.add(session)
  }
  await dataset.flush(plan ? { left_out_since_an_earlier_part_has_their_5_tuple: leftOut } : undefined)
  return dataset
}

async function* sessionsIn(folder: string): AsyncGenerator<TableSession> {
  const { read } = jsonLinesTable(false)
  for (const name of globSync('day=*/*/*.jsonl', { cwd: folder }).sort())
    for await (const { facts } of read(join(folder, name))) yield tableSession(facts as LabeledSession)
}
