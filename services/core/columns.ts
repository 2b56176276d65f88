/** Objects of one shape, property by property: names are written once, and what has many equal values packs well. */
export type Columns<T> = { readonly [K in keyof T]: readonly T[K][] }

export function toColumns<T extends object>(objects: readonly T[]): Columns<T> {
  const keys = Object.keys(objects[0] ?? {}) as (keyof T)[]
  return Object.fromEntries(keys.map(key => [key, objects.map(object => object[key])])) as unknown as Columns<T>
}

export function fromColumns<T extends object>(columns: Columns<T>): T[] {
  const entries = Object.entries<readonly unknown[]>(columns)
  const rows = entries[0]?.[1].length ?? 0
  return Array.from({ length: rows }, (_, row) => {
    const object: Record<string, unknown> = {}
    for (const [key, column] of entries) object[key] = column[row]
    return object as T
  })
}

/** What several places may share: each object once, and by place the number of its object; -1 for none. */
export interface Shared<T> {
  objects: T[]
  places: Int32Array
}

export function toShared<T extends object>(list: readonly (T | null)[]): Shared<T> {
  const numbers = new Map<T, number>()
  const places = Int32Array.from(list, object => {
    if (object === null) return -1
    const known = numbers.get(object)
    if (known !== undefined) return known
    numbers.set(object, numbers.size)
    return numbers.size - 1
  })
  return { objects: [...numbers.keys()], places }
}

export function fromShared<T extends object>({ objects, places }: Shared<T>): (T | null)[] {
  return Array.from(places, place => objects[place] ?? null)
}
