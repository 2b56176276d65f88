/**
 * A part of a host's state that can be written down and had back. The state is plain data (objects, arrays, maps, numbers,
 * text, bytes) and still belongs to the part: it is to be serialized at once, all parts together, so that what two parts
 * share is shared again afterwards. `restore` fills a new part and takes the data over.
 */
export interface Stored {
  state: () => unknown
  restore: (state: never) => void
}

/** Several parts as one. */
export function storedTogether(parts: readonly Stored[]): Stored {
  return {
    state: () => parts.map(part => part.state()),
    restore: (states: readonly never[]) => {
      for (const [i, part] of parts.entries()) part.restore(states[i]!)
    },
  }
}
