import type { Type, types } from 'avsc'

/** Most values in one record: a keyframe of 50,000 sockets and their processes has half as many. */
const MAX_VALUES = 4_000_000
const MAX_VALUES_PER_BYTE = 16
const MAX_VARINT_BYTES = 10

/** Where in which bytes the walk is, and how many values it has met. */
interface Walk {
  bytes: Uint8Array
  begin: number
  position: number
  values: number
}

/**
 * Where the Avro value of `type` that begins at `begin` ends. Throws a RangeError when `bytes` holds no such value, or
 * one of more values than MAX_VALUES or than its size accounts for. avsc must only be given bytes that passed this: it
 * believes the counts of arrays, so a few bytes make it allocate all memory, and a negative size makes it skip for ever.
 */
export function endOfValue(type: Type, bytes: Uint8Array, begin: number): number {
  const walk: Walk = { bytes, begin, position: begin, values: 0 }
  passOf(type)(walk)
  return walk.position
}

/** The zigzag number at `begin` and where it ends; inexact past 2^53. Throws a RangeError where the bytes end first. */
export function readVarint(bytes: Uint8Array, begin: number): { value: number; end: number } {
  const walk: Walk = { bytes, begin, position: begin, values: 0 }
  const value = passVarint(walk)
  return { value, end: walk.position }
}

type Pass = (walk: Walk) => void
/** Made once a type: asking avsc what a type is, value by value, takes longer than all else here. */
const passes = new WeakMap<Type, Pass>()

function passOf(type: Type): Pass {
  const known = passes.get(type)
  if (known) return known
  let pass: Pass | null = null
  const counted: Pass = walk => {
    if (++walk.values > Math.min(MAX_VALUES, MAX_VALUES_PER_BYTE * (walk.position - walk.begin) + 64))
      throw new RangeError('more values than a record may have')
    // Not before the first value: a type may hold itself.
    pass ??= createPass(type)
    pass(walk)
  }
  passes.set(type, counted)
  return counted
}

function createPass(type: Type): Pass {
  switch (type.typeName) {
    case 'null':
      return () => {}
    case 'boolean':
      return walk => passBytes(1, walk)
    case 'int':
    case 'long':
    case 'enum':
      return passVarint
    case 'float':
      return walk => passBytes(4, walk)
    case 'double':
      return walk => passBytes(8, walk)
    case 'string':
    case 'bytes':
      return walk => passBytes(passVarint(walk), walk)
    case 'fixed': {
      const { size } = type as types.FixedType
      return walk => passBytes(size, walk)
    }
    case 'array': {
      const item = passOf((type as types.ArrayType).itemsType)
      return walk => passItems([item], walk)
    }
    case 'map': {
      const pair = [passOf(stringType), passOf((type as types.MapType).valuesType)]
      return walk => passItems(pair, walk)
    }
    case 'union:unwrapped':
    case 'union:wrapped': {
      const branches = (type as types.WrappedUnionType).types.map(passOf)
      return walk => {
        const branch = branches[passVarint(walk)]
        if (branch === undefined) throw new RangeError('no such branch of a union')
        branch(walk)
      }
    }
    case 'record':
    case 'error': {
      const fields = (type as types.RecordType).fields.map(field => passOf(field.type))
      return walk => {
        for (const field of fields) field(walk)
      }
    }
    default:
      throw new RangeError(`type ${type.typeName} is not known`)
  }
}

const stringType = { typeName: 'string' } as Type

/** Blocks of items, each with its count, and with its size where the count is negative; a count of 0 ends them. */
function passItems(item: readonly Pass[], walk: Walk): void {
  for (let count = passVarint(walk); count !== 0; count = passVarint(walk)) {
    const size = count < 0 ? passVarint(walk) : null
    const begin = walk.position
    for (let left = Math.abs(count); left > 0; left--) for (const part of item) part(walk)
    if (size !== null && walk.position - begin !== size) throw new RangeError('size of array items is wrong')
  }
}

function passBytes(count: number, walk: Walk): void {
  if (!(count >= 0 && count <= walk.bytes.length - walk.position)) throw new RangeError('a value is cut')
  walk.position += count
}

/** Avro 1.11, "Binary encoding": zigzag, seven bits a byte, lowest first. */
function passVarint(walk: Walk): number {
  let value = 0
  let scale = 1
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    const byte = walk.bytes[walk.position]
    if (byte === undefined) throw new RangeError('a value is cut')
    walk.position++
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    scale *= 128
  }
  throw new RangeError('a number of more than 64 bits')
}
