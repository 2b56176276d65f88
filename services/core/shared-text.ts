const scratch = Buffer.alloc(256)
const textsKept = 65_536
const texts = new Map<string, string>()

/** The same ASCII text in one piece: V8 else keeps the pieces it was put together or cut from. */
export function flatText(text: string): string {
  return text.length > scratch.length ? text : scratch.toString('latin1', 0, scratch.write(text, 'latin1'))
}

/**
 * The same text, as one object for all who ask within some time: addresses and 5-tuples stand in several tables, for
 * hundreds of thousands of sessions. What is kept is dropped when there is too much of it; that changes no answer.
 */
export function sharedText(text: string): string {
  const known = texts.get(text)
  if (known !== undefined) return known
  const flat = flatText(text)
  if (texts.size === textsKept) texts.clear()
  texts.set(flat, flat)
  return flat
}
