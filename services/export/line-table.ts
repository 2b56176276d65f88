import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Beside } from './columns.ts'
import { FileSink } from './file-sink.ts'
import type { RowFacts, TableFormat, TableWriter } from './table-file.ts'
import type { TableSession } from './table-session.ts'

/** Characters gathered before they are written. */
const chunkLength = 262_144

export interface LineFormat extends Pick<TableFormat, 'extension' | 'columns'> {
  /** The first line; null for none. */
  head: string | null
  line: (session: TableSession, beside: Beside) => string
  factsOf: (line: string) => RowFacts
}

/** A format that has a line for each session. */
export const lineTable = (format: LineFormat): TableFormat => ({
  extension: format.extension,
  columns: format.columns,
  create: path => new LineWriter(new FileSink(path), format),
  read: path => readLines(path, format),
})

class LineWriter implements TableWriter {
  readonly #sink: FileSink
  readonly #format: LineFormat
  #chunk: string

  constructor(sink: FileSink, format: LineFormat) {
    this.#sink = sink
    this.#format = format
    this.#chunk = format.head === null ? '' : `${format.head}\n`
  }

  add: TableWriter['add'] = (session, beside) => this.keep(this.#format.line(session, beside))

  keep: TableWriter['keep'] = line => {
    this.#chunk += `${line}\n`
    if (this.#chunk.length >= chunkLength) this.#flush()
  }

  finish: TableWriter['finish'] = () => {
    this.#flush()
    return this.#sink.finish()
  }

  discard = (): void => this.#sink.discard()

  #flush(): void {
    this.#sink.write(Buffer.from(this.#chunk))
    this.#chunk = ''
  }
}

async function* readLines(path: string, { head, factsOf }: LineFormat) {
  let isHead = head !== null
  for await (const raw of createInterface(createReadStream(path))) {
    if (!isHead) yield { facts: factsOf(raw), raw }
    isHead = false
  }
}
