import { readSchema } from '../../schemas/generate-types.ts'
import { lineTable } from './line-table.ts'
import type { TableFormat } from './table-file.ts'

/** JSON lines: the fields of labeled-session.avsc, and beside them the finer labels; payload as hex digits. */
export const jsonLinesTable = (withPayload: boolean): TableFormat =>
  lineTable({
    extension: 'jsonl',
    columns: [
      ...(readSchema('labeled-session') as { fields: { name: string }[] }).fields.map(({ name }) => name),
      ...['site', 'application', 'finer_label'],
      ...(withPayload ? ['payload'] : []),
    ].map(name => ({ name, type: 'JSON' })),
    head: null,
    line: (session, { finer: { site, application, label }, payload }) => {
      const hex = withPayload ? { payload: payload && Buffer.from(payload).toString('hex') } : {}
      return JSON.stringify({ ...session, site, application, finer_label: label, ...hex })
    },
    factsOf: line => JSON.parse(line),
  })
