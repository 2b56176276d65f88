/**
 * Live capture from a veth pair in network namespaces of its own: what a packet costs and how many a second are read without loss,
 * from the ring and through `cap`; capture files at 1 Gbit/s; memory over many packets, many flows and a flood. As root.
 * `npm run bench -- capture [--only cost,rate,files,memory]`
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ethernet, ipv4, tcp } from '#core/decode/build-frame.ts'
import { pcapHeader, pcapRecord } from '../../../capture/files/write-pcap.ts'
import { writeCapture } from '../make-capture.ts'
import { machine } from '../measure.ts'
import { defaultShape, type TrafficShape } from '../traffic.ts'
import type { Received } from './receive.ts'

const { values } = parseArgs({ options: { only: { type: 'string', default: 'cost,rate,files,memory' } } })
const parts = values.only.split(',')
const folder = mkdtempSync(`${tmpdir()}/proclabel-bench-`)
const names = ['a', 'b'].map(end => `plb-${randomBytes(3).toString('hex')}-${end}`) as [string, string]
const [sending, receiving] = names
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))

interface Sent {
  sent: number
  seconds: number
}

function prepare(): void {
  const run = (...command: string[]) => execFileSync(command[0]!, command.slice(1), { stdio: 'inherit' })
  run('g++', '-O2', '-std=c++20', '-o', `${folder}/replay`, here('replay.cc'))
  for (const name of names) run('ip', 'netns', 'add', name)
  run('ip', '-n', sending, 'link', 'add', 'w0', 'type', 'veth', 'peer', 'name', 'w1', 'netns', receiving)
  for (const [name, device] of [
    [sending, 'w0'],
    [receiving, 'w1'],
  ] as const) {
    spawnSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1'])
    run('ip', '-n', name, 'link', 'set', device, 'up', 'arp', 'off')
  }
}

function cleanUp(): void {
  for (const name of names) spawnSync('ip', ['netns', 'delete', name], { stdio: 'ignore' })
  rmSync(folder, { recursive: true, force: true })
}

/** A capture file to send from. */
function traffic(name: string, shape: Partial<TrafficShape>): string {
  const path = `${folder}/${name}.pcap`
  const fd = openSync(path, 'w')
  writeCapture(fd, { ...defaultShape, packets: 400_000, ...shape }, null)
  closeSync(fd)
  return path
}

/** SYNs to one monitored host, each of a 5-tuple of its own. */
function synFlood(count: number): string {
  const path = `${folder}/flood.pcap`
  const fd = openSync(path, 'w')
  const data = Buffer.from(ethernet(0x0800, ipv4(6, tcp(0, 443, [], 2), { to: [10, 0, 0, 1] })))
  writeSync(fd, pcapHeader(1))
  const records: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    data.writeUInt32BE(0xc6000000 + (i >>> 14), 26)
    data.writeUInt16BE(1024 + (i & 0x3fff), 34)
    records.push(pcapRecord(0, data))
    if (records.length === 10_000) writeSync(fd, Buffer.concat(records.splice(0)))
  }
  writeSync(fd, Buffer.concat(records))
  closeSync(fd)
  return path
}

/** Sends packets of a file, `rate` a second (0: as fast as it goes), to a reader; sender and reader have a core each. */
async function send(how: string, file: string, packets: number, rate: number): Promise<Received & Sent> {
  const inside = (name: string, core: number, ...command: string[]) =>
    spawn('ip', ['netns', 'exec', name, 'taskset', '-c', String(core), ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  const options = ['--interface', 'w1', '--how', how, '--folder', `${folder}/${how}`, '--packets', String(packets)]
  const reader = inside(receiving, 1, process.execPath, here('receive.ts'), ...options)
  const lines = createInterface({ input: reader.stdout! })[Symbol.asyncIterator]()
  await lines.next()
  const sender = inside(sending, 0, `${folder}/replay`, 'w0', file, String(packets), String(rate))
  const { value } = await createInterface({ input: sender.stdout! })[Symbol.asyncIterator]().next()
  const [sent = 0, us = 0] = (value ?? '').split(' ').map(Number)
  await sleep(1500)
  reader.kill()
  const received: Received = JSON.parse((await lines.next()).value ?? '')
  rmSync(`${folder}/${how}`, { recursive: true, force: true })
  return { ...received, sent, seconds: us / 1e6 }
}

const number = (value: number) => Math.round(value).toLocaleString('en-US')
const rowOf = (...cells: (string | number)[]) => console.log(`| ${cells.join(' | ')} |`)
const readers = { native: 'ring, C++', cap: '`cap`, C++', 'cap-portable': '`cap`, TypeScript' }

async function cost(files: ReadonlyMap<number, string>): Promise<void> {
  console.log('\nFrom the wire to Avro batches handed to the producer, at 100,000 packets/s:\n')
  rowOf('Frames', 'Reader', 'packets', 'lost', 'CPU µs a packet', 'times the ring')
  rowOf('---', '---', '---', '---', '---', '---')
  for (const [bytes, file] of files) {
    let least = 0
    for (const [how, name] of Object.entries(readers)) {
      const result = await send(how, file, 1_000_000, 100_000)
      least ||= result.cpuUs
      const times = (result.cpuUs / least).toFixed(1)
      rowOf(`${bytes} B`, name, number(result.read), number(result.sent - result.read), result.cpuUs.toFixed(2), times)
    }
  }
}

async function rate(files: ReadonlyMap<number, string>): Promise<void> {
  console.log('\nHighest rate without loss of those tried (0: as fast as the sender goes), 3 s each:\n')
  rowOf('Frames', 'Reader', 'packets/s', 'CPU µs a packet', 'at the next, lost of packets/s')
  rowOf('---', '---', '---', '---', '---')
  for (const [bytes, file] of files)
    for (const how of ['native', 'cap'] as const) {
      let best = '-'
      let bestCost = '-'
      let next = '-'
      for (const perSecond of [10_000, 25_000, 50_000, 100_000, 200_000, 400_000, 600_000, 0]) {
        const result = await send(how, file, 3 * (perSecond || 800_000), perSecond)
        const lost = result.sent - result.read
        const reached = number(result.sent / result.seconds)
        if (lost > 0) {
          next = `${((100 * lost) / result.sent).toFixed(2)} % of ${reached}`
          break
        }
        best = perSecond === 0 ? `${reached}, all that was sent` : reached
        bestCost = result.cpuUs.toFixed(2)
      }
      rowOf(`${bytes} B`, readers[how], best, bestCost, next)
    }
}

async function gigabit(): Promise<void> {
  const frameBytes = [64, 64, 64, 64, 576, 1500, 1500, 1500, 1500, 1500]
  const file = traffic('mix', { frameBytes, packets: 300_000 })
  const meanBytes = statSync(file).size / 300_000 - 16
  console.log('\nThe service with capture files of each host, publishing, one core:\n')
  rowOf('Mbit/s', 'packets/s', 'lost', 'in files', 'not in files, by reason', 'CPU µs a packet', 'cores', 'peak MiB')
  rowOf('---', '---', '---', '---', '---', '---', '---', '---')
  for (const megabits of [500, 1000, 1500, 2000, 2500, 3000]) {
    const result = await send('service', file, ((megabits * 1e6) / 8 / meanBytes) * 5, (megabits * 1e6) / 8 / meanBytes)
    const dropped = Object.entries(result.files!.dropped).filter(([, count]) => count > 0)
    rowOf(
      megabits,
      number(result.sent / result.seconds),
      number(result.sent - result.read),
      number(result.files!.written),
      dropped.map(([reason, count]) => `${reason} ${number(count)}`).join(', ') || '0',
      result.cpuUs.toFixed(2),
      ((result.cpuUs * result.read) / result.seconds / 1e6).toFixed(2),
      number(result.peakMiB),
    )
  }
}

async function memory(): Promise<void> {
  console.log('\nMemory, native reader:\n')
  rowOf('Traffic', 'sent', 'lost', 'accepted', 'CPU µs a packet', 'resident MiB by tenths', 'peak MiB')
  rowOf('---', '---', '---', '---', '---', '---', '---')
  const cases = [
    ['3,500 flows', traffic('long', {}), 10_000_000],
    ['100,000 flows', traffic('flows', { openSessions: 100_000, packets: 2_000_000 }), 4_000_000],
    ['SYNs of 1,000,000 5-tuples', synFlood(1_000_000), 2_000_000],
  ] as const
  for (const [name, file, packets] of cases) {
    const result = await send('native', file, packets, 500_000)
    rowOf(
      name,
      number(result.sent),
      number(result.sent - result.read),
      number(result.accepted),
      result.cpuUs.toFixed(2),
      result.residentMiB.join(' '),
      number(result.peakMiB),
    )
  }
}

process.once('exit', cleanUp)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
prepare()
console.log(machine())
const files = new Map([64, 700].map(bytes => [bytes, traffic(String(bytes), { frameBytes: bytes })]))
if (parts.includes('cost')) await cost(files)
if (parts.includes('rate')) await rate(files)
if (parts.includes('files')) await gigabit()
if (parts.includes('memory')) await memory()
process.exit()
