import { csvTable } from './csv-table.ts'
import type { FormatName } from './format-names.ts'
import { jsonLinesTable } from './json-lines-table.ts'
import { parquetTable } from './parquet-table.ts'
import type { TableFormat } from './table-file.ts'

/** `withPayload`: with a column of payload bytes; CSV never has one. */
export function tableOf(format: FormatName, withPayload: boolean): TableFormat {
  if (format === 'csv') return csvTable
  return format === 'parquet' ? parquetTable(withPayload) : jsonLinesTable(withPayload)
}
