export const count = (n: number): string => n.toLocaleString('en-US')

export const percent = (part: number, whole: number): string =>
  whole === 0 ? '-' : `${((100 * part) / whole).toFixed(2)} %`

/** Columns aligned: text to the left, numbers to the right. */
export function table(head: string[], rows: string[][]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(row => row[i]!.length)))
  const isNumber = head.map((_, i) => rows.some(row => /^[\d,]+$|%$/.test(row[i]!)))
  return [head, ...rows]
    .map(row =>
      row
        .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
