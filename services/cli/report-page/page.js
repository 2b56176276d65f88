// The session browser of the report's page: it reads the packed sessions (packed-sessions.ts), filters, sorts and shows them.
const pageRows = 100
const byId = id => document.getElementById(id)

async function unpack() {
  const base64 = byId('sessions').textContent
  const bytes = Uint8Array.fromBase64?.(base64) ?? Uint8Array.from(atob(base64), c => c.charCodeAt(0))
  const buffer = await new Response(
    new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')),
  ).arrayBuffer()
  const headBytes = new Uint8Array(buffer).indexOf(10) + 1
  const { rows, texts, columns } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 0, headBytes)))
  const column = {}
  for (const { name, type, at } of columns)
    column[name] = new globalThis[type](buffer, headBytes + at, name === 'id' ? rows * 16 : rows)
  return { rows, texts, column }
}

const orders = {
  time: (c, a, b) => c.first[a] - c.first[b],
  bytes: (c, a, b) => c.bytes[b] - c.bytes[a],
  duration: (c, a, b) => c.seconds[b] - c.seconds[a],
  // Labels that say least first: those without a confidence are last.
  confidence: (c, a, b) => (c.confidence[a] || 2) - (c.confidence[b] || 2),
}
const searched = ['host', 'localIp', 'remoteIp', 'process', 'service', 'image', 'parent', 'name', 'reason']

function start({ rows, texts, column }) {
  const chosen = { text: '', host: 0, process: 0, stage: 0, cause: 0, order: 'time' }
  let found = new Uint32Array(0)
  let page = 0

  const fill = (name, of) => {
    const counts = new Map()
    for (let i = 0; i < rows; i++) counts.set(of[i], (counts.get(of[i]) ?? 0) + 1)
    counts.delete(0)
    const select = byId(name)
    for (const [text] of [...counts].sort((a, b) => b[1] - a[1])) select.add(new Option(texts[text], text))
    select.addEventListener('change', () => {
      chosen[name] = Number(select.value)
      update()
    })
  }

  function filter() {
    const text = chosen.text.toLowerCase()
    const fits = text === '' ? null : Uint8Array.from(texts, value => Number(value.toLowerCase().includes(text)))
    const port = /^\d{1,5}$/.test(text) ? Number(text) : -1
    const some = new Uint32Array(rows)
    let n = 0
    for (let i = 0; i < rows; i++) {
      if (chosen.host !== 0 && column.host[i] !== chosen.host) continue
      if (chosen.process !== 0 && column.process[i] !== chosen.process) continue
      if (chosen.stage !== 0 && column.stage[i] !== chosen.stage) continue
      if (chosen.cause !== 0 && column.cause[i] !== chosen.cause) continue
      if (fits !== null && column.localPort[i] !== port && column.remotePort[i] !== port) {
        let any = false
        for (let k = 0; k < searched.length && !any; k++) any = fits[column[searched[k]][i]] === 1
        if (!any) continue
      }
      some[n++] = i
    }
    return some.subarray(0, n).sort((a, b) => orders[chosen.order](column, a, b) || a - b)
  }

  function update() {
    found = filter()
    page = 0
    show()
  }

  function show() {
    const from = page * pageRows
    const to = Math.min(from + pageRows, found.length)
    byId('rows').replaceChildren(...[...found.subarray(from, to)].map(row))
    const number = n => n.toLocaleString('en-US')
    byId('status').textContent =
      found.length === 0
        ? 'No session fits.'
        : `Sessions ${number(from + 1)} to ${number(to)} of ${number(found.length)}`
    byId('before').disabled = page === 0
    byId('after').disabled = to === found.length
  }

  function row(i) {
    const tr = document.createElement('tr')
    const cell = (content, className = '') => {
      const td = tr.insertCell()
      td.className = className
      td.append(content)
      return td
    }
    const end = (ip, port) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)
    cell(time(column.first[i]))
    cell(texts[column.host[i]] || '–')
    const [local, remote] = [
      end(texts[column.localIp[i]], column.localPort[i]),
      end(texts[column.remoteIp[i]], column.remotePort[i]),
    ]
    cell(`${texts[column.proto[i]]} ${local} ${column.isOut[i] ? '→' : '←'} ${remote}`)
    cell(texts[column.name[i]])
    cell(size(column.bytes[i]), 'number')
    if (column.process[i]) cell(`${texts[column.process[i]]}${column.pid[i] < 0 ? '' : ` (${column.pid[i]})`}`)
    else cell(`unknown: ${texts[column.cause[i]]}`, 'unknown')
    cell(texts[column.stage[i]])
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = 'Why'
    button.setAttribute('aria-expanded', 'false')
    button.setAttribute('aria-label', `Why session ${local} to ${remote} has its label`)
    const why = cell(button)
    button.addEventListener('click', () => {
      const isOpen = button.getAttribute('aria-expanded') === 'true'
      button.setAttribute('aria-expanded', String(!isOpen))
      if (isOpen) tr.nextSibling.remove()
      else tr.after(evidence(i))
    })
    why.className = 'number'
    return tr
  }

  function evidence(i) {
    const list = document.createElement('dl')
    list.className = 'evidence'
    const add = (name, value) => {
      if (value === '' || value === null) return
      const [dt, dd] = [document.createElement('dt'), document.createElement('dd')]
      dt.textContent = name
      dd.textContent = value
      list.append(dt, dd)
    }
    const known = (value, of) => (Number.isNaN(value) || value < 0 ? null : of(value))
    const share = value => `${(100 * value).toFixed(2)} %`
    add('Reason', texts[column.reason[i]])
    add('Seen by', texts[column.source[i]])
    add('Fit of the socket', texts[column.quality[i]])
    add(
      'Socket seen',
      known(column.ownedFrom[i], from => `${time(from)} to ${known(column.ownedUntil[i], time) ?? 'the end'}`),
    )
    add('Clock offset applied', Number.isNaN(column.offset[i]) ? null : `${(column.offset[i] / 1000).toFixed(3)} ms`)
    add('Precision of the stage, at least', known(column.confidence[i], share))
    add(
      'Rests on',
      known(column.support[i], n => `${n} sessions or sockets`),
    )
    add('Share that named it', known(column.share[i], share))
    add('Owners of equal quality', texts[column.candidates[i]])
    add('Service', texts[column.service[i]])
    add('Container image', texts[column.image[i]])
    add('Started by', texts[column.parent[i]])
    add('Lasted', `${column.seconds[i].toFixed(3)} s, ${column.packets[i].toLocaleString('en-US')} packets`)
    add('May still change', column.final[i] ? 'no' : 'yes')
    const id = [...column.id.subarray(i * 16, i * 16 + 16)].map(byte => byte.toString(16).padStart(2, '0')).join('')
    add('Session id', id)
    const tr = document.createElement('tr')
    const td = tr.insertCell()
    td.colSpan = 8
    td.append(list)
    return tr
  }

  for (const name of ['host', 'process', 'stage', 'cause']) fill(name, column[name])
  byId('text').addEventListener('input', event => {
    chosen.text = event.target.value.trim()
    update()
  })
  byId('order').addEventListener('change', event => {
    chosen.order = event.target.value
    update()
  })
  byId('filter').addEventListener('submit', event => event.preventDefault())
  byId('filter').addEventListener('reset', () => {
    Object.assign(chosen, { text: '', host: 0, process: 0, stage: 0, cause: 0, order: 'time' })
    update()
  })
  const turn = by => {
    page += by
    show()
    byId('browser').scrollIntoView()
  }
  byId('before').addEventListener('click', () => turn(-1))
  byId('after').addEventListener('click', () => turn(1))
  update()
  document.body.dataset.ready = String(Math.round(performance.now()))
}

const time = us => new Date(us / 1000).toISOString().replace('T', ' ').replace('Z', '')
const units = ['B', 'kB', 'MB', 'GB', 'TB']
function size(bytes) {
  const power = Math.min(units.length - 1, bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3))
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toFixed(1)} ${units[power]}`
}

unpack().then(start, error => {
  byId('status').textContent = `The sessions cannot be read: ${error.message}`
})
