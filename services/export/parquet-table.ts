import { zstdDecompressSync } from 'node:zlib'
import {
  asyncBufferFromFile,
  type ColumnChunk,
  type ColumnMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  type SchemaElement,
} from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { type Beside, type Column, payloadColumn, sessionColumns, type Value } from './columns.ts'
import { FileSink } from './file-sink.ts'
import { ParquetColumn } from './parquet-column.ts'
import type { RowFacts, TableFormat, TableWriter } from './table-file.ts'
import type { TableSession } from './table-session.ts'

/** Rows of a row group; what is held in memory of a file. */
const rowGroupRows = 20_000

/** Parquet (parquet.apache.org/docs/file-format), Zstandard; columns as in columns.ts, `payload` only where it is asked for. */
export function parquetTable(withPayload: boolean): TableFormat {
  const columns = withPayload ? [...sessionColumns, payloadColumn] : sessionColumns
  const schema = schemaOf(columns)
  return {
    extension: 'parquet',
    columns: columns.map(({ name, type, list }) => ({ name, type: list ? `LIST of ${type}` : type })),
    create: path => new ParquetTableWriter(new FileSink(path), columns, schema),
    read: readParquet,
  }
}

class ParquetTableWriter implements TableWriter {
  readonly #sink: FileSink
  readonly #columns: readonly Column[]
  readonly #bytes = new ByteWriter(1 << 16)
  readonly #writer: ParquetWriter
  /** Of the row group at hand; columns are made of them one after the other. */
  #rows: Row[] = []

  constructor(sink: FileSink, columns: readonly Column[], schema: SchemaElement[]) {
    this.#sink = sink
    this.#columns = columns
    this.#writer = new ParquetWriter({ writer: this.#bytes, schema, createdBy: 'proclabel' })
  }

  add: TableWriter['add'] = (session, beside) => this.#add({ session, beside, kept: null })

  keep: TableWriter['keep'] = raw => this.#add({ session: null, beside: null, kept: raw as Record<string, Value> })

  finish: TableWriter['finish'] = () => {
    if (this.#rows.length > 0) this.#writeGroup()
    void this.#writer.finish()
    this.#drain()
    return this.#sink.finish()
  }

  discard = (): void => this.#sink.discard()

  #add(row: Row): void {
    this.#rows.push(row)
    if (this.#rows.length === rowGroupRows) this.#writeGroup()
  }

  #writeGroup(): void {
    const columns = this.#columns.map(column => this.#writeColumn(column))
    const sum = (of: (chunk: ColumnMetaData) => bigint) =>
      columns.reduce((bytes, { meta_data }) => bytes + of(meta_data!), 0n)
    this.#writer.row_groups.push({
      columns,
      num_rows: BigInt(this.#rows.length),
      total_byte_size: sum(chunk => chunk.total_uncompressed_size),
      total_compressed_size: sum(chunk => chunk.total_compressed_size),
    })
    this.#writer.num_rows += BigInt(this.#rows.length)
    this.#rows = []
    this.#drain()
  }

  #writeColumn(column: Column): ColumnChunk {
    const data = emptyColumn(column)
    for (const { session, beside, kept } of this.#rows)
      data.add(session === null ? kept[column.name] : column.of(session, beside))
    return data.write(this.#bytes)
  }

  /** What is encoded goes to the file; offsets in the footer count all bytes ever written. */
  #drain(): void {
    this.#sink.write(this.#bytes.getBytes())
    this.#bytes.index = 0
  }
}

/** A session to be written anew, or a row of an earlier file. */
type Row =
  | { session: TableSession; beside: Beside; kept: null }
  | { session: null; beside: null; kept: Record<string, Value | undefined> }

function emptyColumn(column: Column): ParquetColumn {
  const path = column.list ? [column.name, 'list', 'element'] : [column.name]
  return new ParquetColumn(column, physical[column.type], path, isVaried(column))
}

async function* readParquet(path: string) {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd, parsers, compressors: decompressors })
    for (const raw of rows) yield { facts: raw as unknown as RowFacts, raw }
    rowStart = rowEnd
  }
}

/** Texts that are nearly all different: a dictionary is of no use. */
const isVaried = ({ name }: Column): boolean => name === 'session_id' || name === 'community_id'

/** Times stay the microseconds that they are. */
const micros = (us: bigint): bigint => us
const parsers = { timestampFromMicroseconds: micros } as never

const decompressors = { ZSTD: (bytes: Uint8Array) => zstdDecompressSync(bytes) }

const physical: Record<Column['type'], Omit<SchemaElement, 'name'>> = {
  STRING: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  INT32: { type: 'INT32' },
  INT64: { type: 'INT64' },
  DOUBLE: { type: 'DOUBLE' },
  BOOLEAN: { type: 'BOOLEAN' },
  TIMESTAMP: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
  },
  BYTES: { type: 'BYTE_ARRAY' },
}

function schemaOf(columns: readonly Column[]): SchemaElement[] {
  const elements = columns.flatMap(({ name, type, nullable, list }): SchemaElement[] => {
    if (!list) return [{ name, ...physical[type], repetition_type: nullable ? 'OPTIONAL' : 'REQUIRED' }]
    return [
      { name, repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST', logical_type: { type: 'LIST' } },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', ...physical[type], repetition_type: 'REQUIRED' },
    ]
  })
  return [{ name: 'session', num_children: columns.length }, ...elements]
}
