import { readFileSync } from 'node:fs'
import type { Section } from '../summary.ts'

export interface ReportPage {
  /** Where the sessions are from. */
  source: string
  tool: string
  headline: readonly string[]
  sections: readonly Section[]
  /** Of `PackedSessions`. */
  packed: string
}

const part = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')

/**
 * The report as one HTML page that needs nothing else: its own policy forbids it every connection. The tables are there
 * without its script, which adds the session browser.
 */
export const renderPage = ({ source, tool, headline, sections, packed }: ReportPage): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escaped(source)}: labeled sessions</title>
<style>
${part('page.css')}</style>
</head>
<body>
<a class="skip" href="#browser">To the sessions</a>
<header>
<h1>Labeled sessions</h1>
<p>${escaped(source)}, by ${escaped(tool)}</p>
</header>
<nav aria-label="Sections"><ul>
${sections.map(({ title }, i) => `<li><a href="#section-${i}">${escaped(title)}</a></li>`).join('\n')}
<li><a href="#browser">Sessions</a></li>
</ul></nav>
<main>
<dl class="figures">
${headline.map(figure).join('\n')}
</dl>
<div class="sections">
${sections.map(section).join('\n')}
<section class="wide" id="browser" aria-labelledby="browser-title">
<h2 id="browser-title">Sessions</h2>
<noscript><p>The list of sessions needs JavaScript.</p></noscript>
<form id="filter" aria-label="Filter sessions">
<label>Search <input id="text" type="search" placeholder="process, name, address, port"></label>
${['host', 'process', 'stage', 'cause'].map(select).join('\n')}
<label>Order <select id="order"><option value="time">by time</option><option value="bytes">most bytes</option><option value="duration">longest</option><option value="confidence">least sure labels</option></select></label>
<button type="reset">Reset</button>
</form>
<div class="pager"><button type="button" id="before" disabled>Earlier rows</button><button type="button" id="after" disabled>Further rows</button><p id="status" role="status">Reading…</p></div>
<div class="scroll-x"><table aria-labelledby="browser-title">
<thead><tr><th scope="col">Begin (UTC)</th><th scope="col">Host</th><th scope="col">Session</th><th scope="col">Server name</th><th scope="col" class="number">Size</th><th scope="col">Process</th><th scope="col">Stage</th><th scope="col">Evidence</th></tr></thead>
<tbody id="rows"></tbody>
</table></div>
</section>
</div>
</main>
<script type="text/plain" id="sessions">${packed}</script>
<script type="module">
${part('page.js')}</script>
</body>
</html>
`

/** `Sessions  1,234  (tcp 1,000)` has its name, its figure and what explains it two spaces apart. */
function figure(line: string): string {
  const [name, value = '', ...rest] = line.trim().split(/\s{2,}/)
  if (value === '') return `<div><dt>Note</dt><dd>${escaped(name!)}</dd></div>`
  return `<div><dt>${escaped(name!)}</dt><dd>${escaped(value)}</dd>${rest.length > 0 ? `<dd class="soft">${escaped(rest.join(' '))}</dd>` : ''}</div>`
}

const select = (name: string): string => {
  const title = { host: 'Host', process: 'Process', stage: 'Stage', cause: 'Unknown because' }[name]
  return `<label>${title} <select id="${name}"><option value="0">any</option></select></label>`
}

function section({ title, note, head, rows }: Section, place: number): string {
  const classes = head.map((name, i) => {
    if (name === '') return ' class="meaning"'
    return rows.some(row => /^-?[\d,.]+( %)?$/.test(row[i]!)) ? ' class="number"' : ''
  })
  const heads = head.map((name, i) => `<th scope="col"${classes[i]}>${escaped(name === '' ? 'Meaning' : name)}</th>`)
  const body = rows.map(([first, ...others]) => {
    const cells = others.map((cell, i) => `<td${barred(head[i + 1]!, cell) ?? classes[i + 1]}>${escaped(cell)}</td>`)
    return `<tr><th scope="row">${escaped(first!)}</th>${cells.join('')}</tr>`
  })
  return `<section id="section-${place}"${head.length > 6 ? ' class="wide"' : ''}>
<h2 id="title-${place}">${escaped(title)}</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="title-${place}"><table>
<thead><tr>${heads.join('')}</tr></thead>
<tbody>
${body.join('\n')}
</tbody></table></div>${note === null ? '' : `<p>${escaped(note)}</p>`}
</section>`
}

/** A share is drawn behind its figure; null for other cells. */
function barred(head: string, cell: string): string | null {
  const share = head === 'Share' ? /^([\d.]+) %$/.exec(cell)?.[1] : undefined
  return share === undefined ? null : ` class="number bar" style="--share: ${share}%"`
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
