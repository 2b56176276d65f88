export const matcherFlags: readonly string[]
export function flagsOf(command: string | undefined): readonly string[]
