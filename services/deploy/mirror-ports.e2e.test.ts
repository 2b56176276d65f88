import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import type { LabeledSession } from '#schemas'
import { ended, LabNetwork, type Side, waitForOutput, worldAddresses } from '../e2e/lab/network.ts'
import { debianCommand } from './tools.ts'

const page = readFileSync(new URL('mirror-ports.md', import.meta.url), 'utf8')
const command = fileURLToPath(new URL('../cli/proclabel.mjs', import.meta.url))
const port = 8000
/** Many packets of full size: with a tunnel's headers around them they are too large for the network. */
const size = 200_000
const patienceMs = 30_000

/** The commands of a section, a text for each block of them. */
function commandsOf(heading: string): string[] {
  const section = page.split(/^## /m).find(text => text.startsWith(`${heading}\n`))!
  return Array.from(section.matchAll(/^```sh\n([\s\S]*?)^```$/gm), ([, commands]) => commands!)
}

/** `desk` downloads something; what `sensor` gets of that is what `desk` has seen itself. */
async function mirrored(t: TestContext, prepare: (network: LabNetwork, space: string) => void, run: Run) {
  if (process.getuid?.() !== 0) return t.skip('needs root')
  await debianCommand('ethtool')
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-mirror-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const space = `proclabel-mirror-${process.pid}`
  const network = new LabNetwork(space, ['desk', 'sensor'])
  t.after(() => network.close())
  const shell = async (side: Side, commands: string) => {
    const { status, output, errors } = await ended(network.start(side, 'sh', ['-ec', commands]))
    assert.equal(status, 0, `${commands}${output}${errors}`)
  }
  prepare(network, space)
  // Each packet as it is on a wire: the kernel merges and splits none.
  for (const [side, device] of [
    ['desk', 'eth0'],
    ['world', 'port0'],
    ['world', 'port1'],
    ['sensor', 'eth0'],
  ] as const)
    await shell(side, `ethtool -K ${device} tso off gso off gro off`)
  for (const [side, commands] of run.commands) await shell(side, commands)

  /** Captures, and answers with what tells the connection's session as it is in the file by now. */
  const capture = async (side: Side, device: string, filter: string) => {
    const file = join(folder, `${side}.pcap`)
    const tcpdump = network.start(side, 'tcpdump', [
      '-i',
      device,
      '-s',
      '2000',
      '-U',
      '--immediate-mode',
      '-w',
      file,
      filter,
    ])
    await waitForOutput(tcpdump, 'listening on')
    return () => {
      const args = [command, 'label', file, '--quiet']
      const lines = execFileSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString()
      const sessions = lines
        .split('\n')
        .filter(Boolean)
        .map((line): LabeledSession => JSON.parse(line))
      return sessions.filter(({ proto, remote_port }) => proto === 'tcp' && remote_port === port)
    }
  }
  const own = await capture('desk', 'eth0', `tcp port ${port}`)
  const sensed = await capture('sensor', run.device, run.filter)
  writeFileSync(join(folder, 'file'), Buffer.alloc(size))
  const bind = ['-u', '-m', 'http.server', String(port), '--bind', worldAddresses[0], '--directory', folder]
  await waitForOutput(network.start('world', 'python3', bind), 'Serving HTTP')
  await shell('desk', `curl --silent --fail --output /dev/null http://${worldAddresses[0]}:${port}/file`)

  const told = (sessions: readonly LabeledSession[]) =>
    sessions.map(({ packets_out, packets_in, bytes_out, bytes_in, community_id, end_reason, direction }) => {
      return { packets_out, packets_in, bytes_out, bytes_in, community_id, end_reason, direction }
    })
  const end = Date.now() + patienceMs
  while (Date.now() < end && !(own()[0]?.end_reason === 'fin' && isDeepStrictEqual(told(own()), told(sensed()))))
    await sleep(200)
  const [truth] = own()
  assert.ok(truth!.bytes_in > size && truth!.packets_in > size / 1500 && truth!.end_reason === 'fin')
  assert.deepEqual(told(sensed()), told(own()))
  return sensed()[0]!
}

interface Run {
  commands: readonly [Side, string][]
  /** The sensor's interface and filter. */
  device: string
  filter: string
}

test('Linux to a second interface', async t => {
  const [toInterface] = commandsOf('Linux')
  const [bringUp] = commandsOf("The capture's interface")
  const cable = (network: LabNetwork, space: string) => {
    network.ip('desk', 'link', 'add', 'mirror0', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', `${space}-sensor`)
    network.ip('desk', 'link', 'set', 'mirror0', 'up')
  }
  const commands: Run['commands'] = [
    ['sensor', bringUp!],
    ['desk', toInterface!],
  ]
  const session = await mirrored(t, cable, { commands, device: 'eth1', filter: '' })
  if (session) assert.equal(session.tunnel, null)
})

test('Linux over the network, with packets that are too large for it in their tunnel, and what is sent is not mirrored again', async t => {
  const [, overNetwork] = commandsOf('Linux')
  const [, takeVxlan] = commandsOf("The capture's interface")
  const [filter] = Array.from(page.matchAll(/--filter '([^']*4789[^']*)'/g), ([, text]) => text!)
  const address = (network: LabNetwork) => {
    network.ip('sensor', 'address', 'add', '192.0.2.2/24', 'dev', 'eth0')
  }
  const commands: Run['commands'] = [
    ['sensor', takeVxlan!],
    ['desk', overNetwork!],
  ]
  const session = await mirrored(t, address, { commands, device: 'eth0', filter: filter! })
  if (session) assert.deepEqual([session.tunnel?.kind, session.tunnel?.id], ['vxlan', 7])
})
