import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const pages = globSync('**/*.md', { cwd: root, exclude: ['node_modules/**', 'native/build/**'] })

/** As GitHub makes a heading's anchor. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-')

const anchorsOf = (text: string): string[] =>
  Array.from(text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm), ([, heading]) => anchorOf(heading!))

/** What is wrong with a link of a page; null when it leads somewhere. */
function problemOf(page: string, link: string): string | null {
  if (/^[a-z]+:/.test(link)) return null
  const [path, anchor] = link.split('#') as [string, string | undefined]
  const target = path === '' ? join(root, page) : join(root, dirname(page), path)
  if (!existsSync(target)) return `${page}: ${link} is not there`
  if (anchor === undefined || statSync(target).isDirectory()) return null
  return anchorsOf(readFileSync(target, 'utf8')).includes(anchor) ? null : `${page}: ${link} has no such heading`
}

test('every link of the documents leads somewhere', () => {
  const links = pages.flatMap(page =>
    Array.from(readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => ({
      page,
      link: link!,
    })),
  )
  assert.ok(links.length > 20)
  assert.deepEqual(
    links.flatMap(({ page, link }) => problemOf(page, link) ?? []),
    [],
  )
})

test('a link that leads nowhere is found', () => {
  assert.match(problemOf('README.md', 'services/nothing.md')!, /is not there/)
  assert.match(problemOf('README.md', 'services/README.md#nothing')!, /no such heading/)
  assert.equal(problemOf('README.md', 'services/README.md#error-codes'), null)
})
