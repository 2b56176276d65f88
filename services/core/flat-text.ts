const scratch = Buffer.alloc(256)

/** The same text of at most 256 ASCII characters, in one piece: V8 else keeps the pieces it was put together or cut from. */
export const flatText = (text: string): string => scratch.toString('latin1', 0, scratch.write(text, 'latin1'))
