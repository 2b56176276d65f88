const TYPES = { A: 1, CNAME: 5, AAAA: 28 }

/** A name without compression. */
export function nameBytes(name: string): Buffer {
  const labels = name.split('.').map(label => Buffer.from(String.fromCharCode(label.length) + label, 'latin1'))
  return Buffer.concat([...labels, Buffer.of(0)])
}

/** A resource record; class 1 is IN. */
export function record(name: string | Buffer, type: keyof typeof TYPES, data: Buffer, ttl = 300, klass = 1): Buffer {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(TYPES[type], 0)
  fixed.writeUInt16BE(klass, 2)
  fixed.writeUInt32BE(ttl, 4)
  fixed.writeUInt16BE(data.length, 8)
  return Buffer.concat([typeof name === 'string' ? nameBytes(name) : name, fixed, data])
}

/** A DNS message, by default a successful response to one A question. */
export function dnsMessage(parts: {
  flags?: number
  question?: string | Buffer
  answers?: readonly Buffer[]
  additional?: readonly Buffer[]
}): Buffer {
  const { flags = 0x8180, question, answers = [], additional = [] } = parts
  const header = Buffer.alloc(12)
  header.writeUInt16BE(0x1234, 0)
  header.writeUInt16BE(flags, 2)
  header.writeUInt16BE(question === undefined ? 0 : 1, 4)
  header.writeUInt16BE(answers.length, 6)
  header.writeUInt16BE(additional.length, 10)
  const asked =
    question === undefined ? [] : [typeof question === 'string' ? nameBytes(question) : question, Buffer.of(0, 1, 0, 1)]
  return Buffer.concat([header, ...asked, ...answers, ...additional])
}
