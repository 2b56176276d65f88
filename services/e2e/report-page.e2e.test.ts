import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { LabeledSession } from '#schemas'
import { sessionOf } from '#shared/session-fixture.ts'
import { ReportDetails } from '../cli/report-details.ts'
import { PackedSessions } from '../cli/report-page/packed-sessions.ts'
import { renderPage } from '../cli/report-page/page.ts'
import { Summary, summaryRow } from '../cli/summary.ts'
import { type Chromium, type Page, startChromium } from './chromium.ts'

const sessionCount = 200_000
const hostile = '<img src=x onerror=alert(1)></script>&"'
const folder = mkdtempSync(join(tmpdir(), 'proclabel-page-'))
const file = join(folder, 'report.html')
let chromium: Chromium

function sessionNumber(i: number): LabeledSession {
  const isUnknown = i % 100 === 7
  return sessionOf({
    ...{ session_id: i.toString(16).padStart(32, '0'), host_id: `host-${i % 7}`, local_port: 1024 + (i % 60_000) },
    ...{ first_us: 1_767_571_200_000_000 + i * 432_000, bytes_in: i, remote_ip: `198.18.${(i >> 8) % 256}.${i % 256}` },
    ...(isUnknown
      ? { label: null, stage: null, unknown_cause: 'too-short' }
      : { label: { ...sessionOf().label!, process: i % 1000 === 1 ? hostile : `program-${i % 50}` } }),
    ...(i % 5 === 0 ? { stage: isUnknown ? null : 'B', confidence: isUnknown ? null : 0.9 + (i % 1000) / 10_000 } : {}),
    sni: i === 123_456 ? 'only-once.example.org' : `www.site${i % 3000}.example`,
  })
}

before(async () => {
  const [summary, details, packed] = [new Summary(), new ReportDetails(), new PackedSessions()]
  for (let i = 0; i < sessionCount; i++) {
    const session = sessionNumber(i)
    summary.add(summaryRow(session))
    details.add(session)
    packed.add(session)
  }
  const sections = [...summary.sections(Number.POSITIVE_INFINITY), ...details.sections()]
  const parts = { source: hostile, tool: 'proclabel', headline: summary.headline(), sections, packed: packed.pack() }
  writeFileSync(file, renderPage(parts))
  chromium = await startChromium()
})
after(async () => {
  await chromium?.close()
  rmSync(folder, { recursive: true })
})

async function open(scheme = 'light'): Promise<{ page: Page; requests: string[]; errors: string[] }> {
  const page = await chromium.newPage()
  const [requests, errors]: [string[], string[]] = [[], []]
  page.on('request', request => requests.push(request.url()))
  page.on('pageerror', error => errors.push(error.message))
  await page.setViewport({ width: 1400, height: 1000 })
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  await page.goto(`file://${file}`)
  await page.waitForFunction(
    "document.body.dataset.ready !== undefined || !/Reading|Sessions/.test(document.getElementById('status').textContent)",
  )
  return { page, requests, errors }
}

const status = (page: Page) => page.evaluate<string>("document.getElementById('status').textContent")

test('200,000 sessions, without any request but for the page itself, and hostile names as the text that they are', async () => {
  const { page, requests, errors } = await open()
  assert.equal(await status(page), 'Sessions 1 to 100 of 200,000')
  assert.deepEqual([requests, errors], [[`file://${file}`], []])
  assert.equal(await page.evaluate("document.querySelectorAll('img').length"), 0)
  const body = await page.evaluate<string>('document.body.innerText')
  assert.ok(body.includes(`${hostile}, by proclabel`))
  assert.ok(body.includes(hostile), 'the process of its name')
  await page.close()
})

test('by keyboard alone: skip to the sessions, search, read the evidence, turn the page', async () => {
  const { page } = await open()
  const { keyboard } = page
  const focused = () => page.evaluate<string>('document.activeElement.id || document.activeElement.textContent')
  await keyboard.press('Tab')
  assert.equal(await focused(), 'To the sessions')
  await keyboard.press('Enter')
  await keyboard.press('Tab')
  assert.equal(await focused(), 'text')
  await keyboard.type('only-once')
  assert.equal(await status(page), 'Sessions 1 to 1 of 1')
  // The four filters, the order, reset; the buttons to turn the page cannot be used and are passed over.
  for (let i = 0; i < 7; i++) await keyboard.press('Tab')
  assert.equal(await focused(), 'Why')
  await keyboard.press('Enter')
  const evidence = await page.evaluate<string>("document.querySelector('.evidence').innerText")
  assert.match(evidence, /Reason\s+one owner/)
  assert.match(evidence, new RegExp(`Session id\\s+${(123_456).toString(16).padStart(32, '0')}`))
  await keyboard.press('Enter')
  assert.equal(await page.evaluate("document.querySelectorAll('.evidence').length"), 0)
  await page.evaluate("document.querySelector('[type=reset]').focus()")
  await keyboard.press('Enter')
  assert.equal(await status(page), 'Sessions 1 to 100 of 200,000')
  await keyboard.press('Tab')
  assert.equal(await focused(), 'after')
  await keyboard.press('Enter')
  assert.equal(await status(page), 'Sessions 101 to 200 of 200,000')
  await page.close()
})

test('filters and order give what the sessions are', async () => {
  const { page } = await open()
  const choose = (id: string, text: string) =>
    page.evaluate(`{
      const select = document.getElementById('${id}')
      select.value = [...select.options].find(option => option.text === '${text}').value
      select.dispatchEvent(new Event('change'))
    }`)
  const wanted = Array.from({ length: sessionCount }, (_, i) => sessionNumber(i)).filter(
    ({ host_id, unknown_cause }) => host_id === 'host-3' && unknown_cause === 'too-short',
  )
  await choose('host', 'host-3')
  await choose('cause', 'too-short')
  await choose('order', 'most bytes')
  assert.equal(await status(page), `Sessions 1 to 100 of ${wanted.length}`)
  const most = wanted.sort((a, b) => b.bytes_in - a.bytes_in)[0]!
  const first = await page.evaluate<string>("document.querySelector('#rows tr').innerText")
  assert.ok(first.includes(`10.0.0.1:${most.local_port} → ${most.remote_ip}:443`), first)
  assert.ok(first.includes('unknown: too-short'))
  await page.close()
})

for (const scheme of ['light', 'dark'])
  test(`axe finds nothing to object to, ${scheme}`, async () => {
    const { page } = await open(scheme)
    await page.evaluate("document.querySelector('#rows button').click()")
    await page.evaluate(readFileSync(chromium.axePath, 'utf8'))
    const { violations, passes } = await page.evaluate<{
      violations: { id: string; nodes: { html: string }[] }[]
      passes: { id: string }[]
    }>('axe.run()')
    assert.ok(passes.some(({ id }) => id === 'color-contrast'))
    assert.deepEqual(
      violations.map(({ id, nodes }) => [id, nodes.slice(0, 3).map(({ html }) => html)]),
      [],
    )
    await page.close()
  })

test('without scripts the tables are there', async () => {
  const page = await chromium.newPage()
  await page.setJavaScriptEnabled(false)
  await page.goto(`file://${file}`)
  const text = await page.evaluate<string>('document.body.innerText')
  for (const part of ['direct match', 'program-3', 'too-short', 'host-6', 'needs JavaScript'])
    assert.ok(text.includes(part), part)
  await page.close()
})
