/** A line of a text; `text` is null for one that was too long to keep. */
export interface Line {
  text: string | null
  /** False for the last line of a text that does not end with a line feed. */
  ended: boolean
}

const LINE_FEED = 0x0a

/** The lines of UTF-8 bytes, without LF or CR LF at their ends. Never holds more than `maxBytes` of a line and one chunk. */
export async function* splitLines(chunks: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let bytes = 0
  const take = (ended: boolean): Line => {
    const text = bytes > maxBytes ? null : Buffer.concat(parts).toString().replace(/\r$/, '')
    parts = []
    bytes = 0
    return { text, ended }
  }
  const keep = (part: Buffer) => {
    bytes += part.length
    if (bytes <= maxBytes) parts.push(part)
    else parts = []
  }
  for await (const chunk of chunks) {
    let begin = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, begin)) {
      keep(chunk.subarray(begin, end))
      yield take(true)
      begin = end + 1
    }
    if (begin < chunk.length) keep(chunk.subarray(begin))
  }
  if (bytes > 0) yield take(false)
}
