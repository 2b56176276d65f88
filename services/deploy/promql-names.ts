/** Which metrics and labels a PromQL expression names: for tests, of what our own expressions are written in. */

const words = new Set(['by', 'on', 'without', 'ignoring', 'group_left', 'group_right', 'offset', 'unless', 'and', 'or'])
const labelLists = /\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)/g

const withoutTexts = (expression: string) => expression.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')

/** Names of metrics: words that are neither called as functions nor in braces, brackets or lists of labels. */
export function namesIn(expression: string): string[] {
  const bare = withoutTexts(expression)
    .replaceAll(/#.*/g, '')
    .replaceAll(labelLists, ' ')
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, ' ')
  const found = Array.from(bare.matchAll(/(?<![\w.$])([a-zA-Z_]\w*)\b(?!\s*\()/g), ([, name]) => name!)
  return [...new Set(found.filter(name => !words.has(name) && !/^\d/.test(name)))]
}

/** Labels in selectors and in lists, but for `le`, which belongs to histograms. */
export function labelsIn(expression: string): string[] {
  const bare = withoutTexts(expression)
  const inSelectors = Array.from(bare.matchAll(/\{([^}]*)\}/g), ([, list]) =>
    Array.from(list!.matchAll(/(\w+)\s*[=!]/g), ([, label]) => label!),
  )
  const inLists = Array.from(bare.matchAll(labelLists), ([, list]) => list!.split(',').map(label => label.trim()))
  return [...new Set([...inSelectors, ...inLists].flat())].filter(label => label !== '' && label !== 'le')
}
