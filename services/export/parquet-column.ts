import { constants, zstdCompressSync } from 'node:zlib'
import type { ColumnChunk, SchemaElement } from 'hyparquet'
import type { ByteWriter } from 'hyparquet-writer'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import type { Column, Value } from './columns.ts'
import { Bits, Bytes, hybrid } from './parquet-encoding.ts'

const params = { [constants.ZSTD_c_compressionLevel]: 1 }
/** Below it compressing costs more than it saves. */
const compressFromBytes = 512

/** What is put behind each other without a dictionary, PLAIN; as for BOOLEAN, a bit each, see `Bits`. */
const plain: Record<Exclude<Column['type'], 'BOOLEAN'>, (bytes: Bytes, value: never) => void> = {
  INT32: (bytes, value) => bytes.int32(value),
  INT64: (bytes, value) => bytes.int64(value),
  TIMESTAMP: (bytes, value) => bytes.int64(value),
  DOUBLE: (bytes, value) => bytes.double(value),
  STRING: (bytes, value) => bytes.text(value),
  BYTES: (bytes, value) => bytes.byteArray(value),
}

/**
 * One column of a row group, encoded as its values come: a data page (version 2) and, for texts that repeat, a dictionary
 * (parquet.apache.org/docs/file-format/data-pages/encodings).
 */
export class ParquetColumn {
  readonly #column: Column
  readonly #element: Omit<SchemaElement, 'name'>
  readonly #path: string[]
  readonly #put: (value: Value) => void
  readonly #bytes = new Bytes()
  readonly #bits = new Bits()
  readonly #numbers = new Map<string, number>()
  readonly #indexes: number[] = []
  /** By slot, a value or the want of one: whether there is one, and, of a list, whether it goes on. */
  readonly #present = new Bits()
  readonly #goesOn = new Bits()
  #rows = 0
  #slots = 0
  #lowest = Number.POSITIVE_INFINITY
  #highest = Number.NEGATIVE_INFINITY

  /** `varied`: texts of it hardly repeat. */
  constructor(column: Column, element: Omit<SchemaElement, 'name'>, path: string[], varied: boolean) {
    this.#column = column
    this.#element = element
    this.#path = path
    this.#put = this.#encoder(varied)
  }

  add(value: Value | undefined): void {
    this.#rows++
    if (!this.#column.list) this.#slot(value ?? null, false)
    else {
      const items = value as number[]
      if (items.length === 0) this.#slot(null, false)
      for (let i = 0; i < items.length; i++) this.#slot(items[i]!, i > 0)
    }
  }

  /** Writes what was added; the column is not used again. */
  write(out: ByteWriter): ColumnChunk {
    const from = out.offset
    const hasDictionary = this.#indexes.length > 0
    const values = this.#valueBytes()
    const isCompressed = !hasDictionary && values.length >= compressFromBytes
    if (hasDictionary) this.#writeDictionary(out)
    const dataFrom = out.offset
    const { list, nullable, type } = this.#column
    const repetition = list ? hybrid.bits(this.#goesOn) : Buffer.alloc(0)
    const definition = list || nullable ? hybrid.bits(this.#present) : Buffer.alloc(0)
    const levelBytes = repetition.length + definition.length
    const stored = isCompressed
      ? zstdCompressSync(values, { params, pledgedSrcSize: values.length, chunkSize: values.length })
      : values
    const encoding = hasDictionary ? 'RLE_DICTIONARY' : 'PLAIN'
    writePageHeader(out, {
      type: 'DATA_PAGE_V2',
      uncompressed_page_size: levelBytes + values.length,
      compressed_page_size: levelBytes + stored.length,
      data_page_header_v2: {
        num_values: this.#slots,
        num_nulls: this.#slots - this.#present.ones,
        num_rows: this.#rows,
        encoding,
        definition_levels_byte_length: definition.length,
        repetition_levels_byte_length: repetition.length,
        is_compressed: isCompressed,
      },
    })
    for (const part of [repetition, definition, stored]) out.appendBytes(part)
    const bytes = out.offset - from
    return {
      file_offset: BigInt(from),
      meta_data: {
        type: this.#element.type!,
        encodings: hasDictionary ? ['PLAIN', encoding] : [encoding],
        path_in_schema: this.#path,
        codec: isCompressed ? 'ZSTD' : 'UNCOMPRESSED',
        num_values: BigInt(this.#slots),
        total_compressed_size: BigInt(bytes),
        total_uncompressed_size: BigInt(bytes + values.length - stored.length),
        data_page_offset: BigInt(dataFrom),
        ...(hasDictionary && { dictionary_page_offset: BigInt(from) }),
        ...(type === 'TIMESTAMP' && this.#lowest <= this.#highest && { statistics: this.#statistics() }),
      },
    }
  }

  #slot(value: Value, goesOn: boolean): void {
    this.#slots++
    this.#goesOn.push(goesOn)
    this.#present.push(value !== null)
    if (value !== null) this.#put(value)
  }

  #encoder(varied: boolean): (value: Value) => void {
    const { type } = this.#column
    if (type === 'BOOLEAN') return value => this.#bits.push(value as boolean)
    const put = plain[type] as (bytes: Bytes, value: Value) => void
    if (type === 'TIMESTAMP')
      return value => {
        const us = Number(value)
        if (us < this.#lowest) this.#lowest = us
        if (us > this.#highest) this.#highest = us
        put(this.#bytes, us)
      }
    if (type !== 'STRING' || varied) return value => put(this.#bytes, value)
    return value => {
      let number = this.#numbers.get(value as string)
      if (number === undefined) {
        number = this.#numbers.size
        this.#numbers.set(value as string, number)
        put(this.#bytes, value)
      }
      this.#indexes.push(number)
    }
  }

  #valueBytes(): Buffer {
    if (this.#indexes.length > 0) return hybrid.indexes(this.#indexes, this.#numbers.size)
    return this.#column.type === 'BOOLEAN' ? this.#bits.bytes() : this.#bytes.taken()
  }

  #writeDictionary(out: ByteWriter): void {
    const values = this.#bytes.taken()
    writePageHeader(out, {
      type: 'DICTIONARY_PAGE',
      uncompressed_page_size: values.length,
      compressed_page_size: values.length,
      dictionary_page_header: { num_values: this.#numbers.size, encoding: 'PLAIN' },
    })
    out.appendBytes(values)
  }

  #statistics() {
    return {
      min_value: BigInt(this.#lowest),
      max_value: BigInt(this.#highest),
      null_count: BigInt(this.#slots - this.#present.ones),
    }
  }
}
