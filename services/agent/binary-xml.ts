/**
 * Binary XML of Windows event logs: section 2.2.12 of [MS-EVEN6]
 * (https://learn.microsoft.com/openspecs/windows_protocols/ms-even6), and for names and templates, which a file keeps once a
 * chunk, the format's description at https://github.com/libyal/libevtx/blob/main/documentation.
 */
export interface XmlElement {
  name: string
  /** Those that have a value. */
  attributes: [name: string, value: string][]
  children: (XmlElement | string)[]
}

const TOKEN = {
  end: 0x00,
  openStartElement: 0x01,
  closeStartElement: 0x02,
  closeEmptyElement: 0x03,
  endElement: 0x04,
  value: 0x05,
  attribute: 0x06,
  cdata: 0x07,
  charRef: 0x08,
  entityRef: 0x09,
  piTarget: 0x0a,
  piData: 0x0b,
  templateInstance: 0x0c,
  substitution: 0x0d,
  optionalSubstitution: 0x0e,
  fragmentHeader: 0x0f,
} as const

/** A token's high bits say that more of its kind, or attributes, follow. */
const KIND = 0x1f
const HAS_ATTRIBUTES = 0x40

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** What a record may come to, in elements and characters: 64 KB of hostile templates can name each other without end. */
const MAX_COST = 1_000_000
const MAX_DEPTH = 32

interface Value {
  type: number
  begin: number
  size: number
}

/** A fragment is read with the values of the template instance around it; `hasDependencyIds` is false within a value. */
interface Scope {
  values: readonly Value[]
  hasDependencyIds: boolean
  depth: number
}

/** Reads the fragment that begins at `offset` of a chunk, whose names and templates it refers to. Throws for what is none. */
export function readBinaryXml(chunk: Buffer, offset: number): XmlElement {
  const reader = new FragmentReader(chunk, offset)
  const root = reader
    .readFragment({ values: [], hasDependencyIds: true, depth: 0 })
    .find(node => typeof node !== 'string')
  if (root === undefined) throw new Error('binary XML without an element')
  return root
}

class FragmentReader {
  readonly #chunk: Buffer
  #at: number
  #cost = 0

  constructor(chunk: Buffer, offset: number) {
    this.#chunk = chunk
    this.#at = offset
  }

  readFragment(scope: Scope): XmlElement['children'] {
    if (scope.depth > MAX_DEPTH) throw new Error('binary XML nested too deeply')
    const nodes: XmlElement['children'] = []
    for (;;) {
      const token = this.#u8()
      switch (token & KIND) {
        case TOKEN.end:
          return nodes
        case TOKEN.fragmentHeader:
          this.#at += 3
          break
        case TOKEN.templateInstance:
          nodes.push(...this.#templateInstance(scope))
          // A record is one instance, and what follows it is padding.
          if (scope.depth === 0) return nodes
          break
        case TOKEN.openStartElement:
          nodes.push(this.#element((token & HAS_ATTRIBUTES) !== 0, scope))
          break
        default:
          throw unexpected(token)
      }
    }
  }

  #element(hasAttributes: boolean, scope: Scope): XmlElement {
    if (scope.depth > MAX_DEPTH) throw new Error('binary XML nested too deeply')
    if (scope.hasDependencyIds) this.#at += 2
    this.#at += 4 // bytes of the element
    const element: XmlElement = { name: this.#name(), attributes: [], children: [] }
    this.#spend(1)
    if (hasAttributes) this.#at += 4 // bytes of the attributes
    const inner = { ...scope, depth: scope.depth + 1 }
    for (;;) {
      const token = this.#u8()
      switch (token & KIND) {
        case TOKEN.attribute: {
          const name = this.#name()
          const value = this.#attributeValue(inner)
          if (value !== '') element.attributes.push([name, value])
          break
        }
        case TOKEN.closeEmptyElement:
          return element
        case TOKEN.closeStartElement:
          element.children = this.#content(inner)
          return element
        default:
          throw unexpected(token)
      }
    }
  }

  #content(scope: Scope): XmlElement['children'] {
    const nodes: XmlElement['children'] = []
    for (;;) {
      const token = this.#u8()
      switch (token & KIND) {
        case TOKEN.endElement:
          return nodes
        case TOKEN.openStartElement:
          nodes.push(this.#element((token & HAS_ATTRIBUTES) !== 0, scope))
          break
        case TOKEN.templateInstance:
          nodes.push(...this.#templateInstance(scope))
          break
        case TOKEN.piTarget:
          this.#name()
          break
        case TOKEN.piData:
          this.#counted()
          break
        default:
          nodes.push(...this.#text(token, scope))
      }
    }
  }

  #attributeValue(scope: Scope): string {
    let text = ''
    for (;;) {
      const kind = this.#chunk.readUInt8(this.#at) & KIND
      if (kind === TOKEN.attribute || kind === TOKEN.closeStartElement || kind === TOKEN.closeEmptyElement) return text
      for (const part of this.#text(this.#u8(), scope)) if (typeof part === 'string') text += part
    }
  }

  /** Text, or the elements of a value that holds some. */
  #text(token: number, scope: Scope): XmlElement['children'] {
    switch (token & KIND) {
      case TOKEN.value:
        this.#at++ // always a string
        return [this.#counted()]
      case TOKEN.cdata:
        return [this.#counted()]
      case TOKEN.charRef:
        return [String.fromCharCode(this.#u16())]
      case TOKEN.entityRef: {
        const name = this.#name()
        return [ENTITIES[name] ?? `&${name};`]
      }
      case TOKEN.substitution:
      case TOKEN.optionalSubstitution: {
        const value = scope.values[this.#u16()]
        this.#at++ // the type, which the value states too
        return value === undefined ? [] : this.#value(value, scope)
      }
      default:
        throw unexpected(token)
    }
  }

  #value(value: Value, scope: Scope): XmlElement['children'] {
    if (value.type !== 0x21) {
      const text = valueText(this.#chunk, value)
      this.#spend(text.length)
      return [text]
    }
    if (value.size === 0) return []
    return this.#elsewhere(value.begin, () =>
      this.readFragment({ values: [], hasDependencyIds: false, depth: scope.depth + 1 }),
    )
  }

  #templateInstance(scope: Scope): XmlElement['children'] {
    this.#at += 1 + 4 // version, short id
    const definition = this.#u32()
    const headerBytes = 4 + 16 + 4 // next in the table, id, size
    if (definition === this.#at) this.#at += headerBytes + this.#chunk.readUInt32LE(definition + headerBytes - 4)
    const count = this.#u32()
    const values: Value[] = []
    let begin = this.#at + 4 * count
    for (let i = 0; i < count; i++) {
      const value = { size: this.#u16(), type: this.#u16() & 0xff, begin }
      begin += value.size
      values.push(value)
    }
    if (begin > this.#chunk.length) throw new Error('binary XML with a value beyond its chunk')
    this.#at = begin
    return this.#elsewhere(definition + headerBytes, () =>
      this.readFragment({ values, hasDependencyIds: true, depth: scope.depth + 1 }),
    )
  }

  /** A name stands where it is used first, or elsewhere in the chunk: next in the table, hash, length, text, zero. */
  #name(): string {
    const offset = this.#u32()
    const length = this.#chunk.readUInt16LE(offset + 6)
    if (offset === this.#at) this.#at += 8 + 2 * length + 2
    return this.#utf16(offset + 8, length)
  }

  #counted(): string {
    const length = this.#u16()
    const text = this.#utf16(this.#at, length)
    this.#at += 2 * length
    return text
  }

  #utf16(begin: number, length: number): string {
    if (begin + 2 * length > this.#chunk.length) throw new Error('binary XML with a text beyond its chunk')
    this.#spend(length)
    return this.#chunk.toString('utf16le', begin, begin + 2 * length)
  }

  #elsewhere<T>(offset: number, read: () => T): T {
    const at = this.#at
    this.#at = offset
    const result = read()
    this.#at = at
    return result
  }

  #spend(cost: number): void {
    this.#cost += cost
    if (this.#cost > MAX_COST) throw new Error('binary XML that grows without end')
  }

  #u8(): number {
    return this.#chunk.readUInt8(this.#at++)
  }

  #u16(): number {
    this.#at += 2
    return this.#chunk.readUInt16LE(this.#at - 2)
  }

  #u32(): number {
    this.#at += 4
    return this.#chunk.readUInt32LE(this.#at - 4)
  }
}

const unexpected = (token: number) => new Error(`binary XML with token 0x${token.toString(16)} out of place`)

const ARRAY = 0x80

/** A value as an event viewer writes it; empty for null and for arrays of anything but text. */
function valueText(chunk: Buffer, { type, begin, size }: Value): string {
  const bytes = chunk.subarray(begin, begin + size)
  switch (type) {
    case 0x01:
    case 0x01 | ARRAY:
      return bytes.toString('utf16le').replace(/\0+$/, '').replaceAll('\0', ',')
    case 0x02:
      return bytes.toString('latin1').replace(/\0+$/, '')
    case 0x03:
      return String(bytes.readInt8())
    case 0x04:
      return String(bytes.readUInt8())
    case 0x05:
      return String(bytes.readInt16LE())
    case 0x06:
      return String(bytes.readUInt16LE())
    case 0x07:
      return String(bytes.readInt32LE())
    case 0x08:
      return String(bytes.readUInt32LE())
    case 0x09:
      return String(bytes.readBigInt64LE())
    case 0x0a:
      return String(bytes.readBigUInt64LE())
    case 0x0b:
      return String(bytes.readFloatLE())
    case 0x0c:
      return String(bytes.readDoubleLE())
    case 0x0d:
      return bytes.readUInt32LE() === 0 ? 'false' : 'true'
    case 0x0e:
      return bytes.toString('hex').toUpperCase()
    case 0x0f:
      return guidText(bytes)
    case 0x10:
      return `0x${(size === 4 ? bytes.readUInt32LE() : bytes.readBigUInt64LE()).toString(16)}`
    case 0x11:
      return fileTimeText(bytes.readBigUInt64LE())
    case 0x12:
      return systemTimeText(bytes)
    case 0x13:
      return sidText(bytes)
    case 0x14:
      return `0x${bytes.readUInt32LE().toString(16)}`
    case 0x15:
      return `0x${bytes.readBigUInt64LE().toString(16)}`
    default:
      return ''
  }
}

function guidText(bytes: Buffer): string {
  const hex = (number: number, digits: number) => number.toString(16).padStart(digits, '0')
  const tail = bytes.toString('hex', 8, 16)
  const head = [hex(bytes.readUInt32LE(0), 8), hex(bytes.readUInt16LE(4), 4), hex(bytes.readUInt16LE(6), 4)]
  return `{${[...head, tail.slice(0, 4), tail.slice(4)].join('-').toUpperCase()}}`
}

/** Units of 100 ns from 1601 to 1970. */
const EPOCH_AS_FILE_TIME = 116_444_736_000_000_000n
const UNITS_PER_MS = 10_000n

/** With as many digits as the clock gave: three from one that ticks in milliseconds, else seven. */
function fileTimeText(units: bigint): string {
  const sinceEpoch = units - EPOCH_AS_FILE_TIME
  const part = ((sinceEpoch % UNITS_PER_MS) + UNITS_PER_MS) % UNITS_PER_MS
  const text = new Date(Number((sinceEpoch - part) / UNITS_PER_MS)).toISOString()
  return part === 0n ? text : text.replace('Z', `${String(part).padStart(4, '0')}Z`)
}

function systemTimeText(bytes: Buffer): string {
  const [year, month, , day, hour, minute, second, ms] = Array.from({ length: 8 }, (_, i) => bytes.readUInt16LE(2 * i))
  return new Date(Date.UTC(year!, month! - 1, day, hour, minute, second, ms)).toISOString()
}

function sidText(bytes: Buffer): string {
  const subAuthorities = Array.from({ length: bytes.readUInt8(1) }, (_, i) => bytes.readUInt32LE(8 + 4 * i))
  return ['S', bytes.readUInt8(0), bytes.readUIntBE(2, 6), ...subAuthorities].join('-')
}
