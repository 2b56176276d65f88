export const matcherFlags: readonly string[]
