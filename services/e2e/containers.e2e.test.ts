import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host, LabeledSession, SocketEvents } from '#schemas'
import { linuxMechanisms } from '../agent/linux-events.ts'
import { addressesOf, LabNetwork, type Side, waitForOutput, worldAddresses } from './lab/network.ts'
import { proclabel } from './lab/recording.ts'
import { readSessions } from './lab/truth.ts'

const canMakeNamespaces = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0
if (!canMakeNamespaces && process.env.CI === 'true') throw new Error('needs root and iproute2')
const skip = canMakeNamespaces ? false : 'needs root and iproute2'

/** A host and two containers with addresses of their own on the same wire, without translation. */
const sides = ['host', 'web', 'shop'] as const
const ownIps: string[] = sides.flatMap((_, place) => addressesOf(place))
const [hostIp, webIp, shopIp] = sides.map((_, place) => addressesOf(place)[0]) as [string, string, string]

const containerId = 'c0ffee'.repeat(11).slice(0, 64)
const podUid = '12345678-9abc-4def-8123-456789abcdef'

/** Serves each port given, on every address, for ever. */
const serve = `
import socket, sys, threading
def loop(port):
    server = socket.create_server(("0.0.0.0", port))
    while True: server.accept()[0].close()
for port in sys.argv[1:]: threading.Thread(target=loop, args=[int(port)], daemon=True).start()
print("serving", flush=True)
threading.Event().wait()
`
/** Connects to each end given, and reads to its end. */
const fetch = `
import socket, sys
for end in sys.argv[1:]:
    host, port = end.split(":")
    try:
        with socket.create_connection((host, int(port))) as s: s.recv(1)
    except ConnectionRefusedError: pass
`

/** A cgroup as the kubelet's systemd driver names that of a container; `remove` takes it away again. */
function makePodCgroup(): { join: (pid: number) => void; remove: () => void } {
  const root = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup'].find(
    place => spawnSync('mkdir', [`${place}/proclabel-test`]).status === 0,
  )!
  const slice = `kubepods-burstable-pod${podUid.replaceAll('-', '_')}.slice`
  const folders = [`${root}/proclabel-test`, `${root}/proclabel-test/${slice}`]
  const scope = `${folders[1]}/cri-containerd-${containerId}.scope`
  mkdirSync(scope, { recursive: true })
  return {
    join: pid => writeFileSync(`${scope}/cgroup.procs`, String(pid)),
    remove: () => {
      for (const folder of [scope, ...folders.reverse()]) rmdirSync(folder)
    },
  }
}

/** The world is another machine, but here on the same kernel: what the log says of it as of a container is taken out. */
function forgetWorld(sockets: string): void {
  for (const name of readdirSync(sockets)) {
    const file = path.join(sockets, name)
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    const rewritten = lines.map(line => {
      const record = JSON.parse(line) as { topic: string } & Partial<Host & SocketEvents>
      const addresses = record.addresses?.filter(({ ip }) => ownIps.includes(ip))
      const events = record.events?.filter(({ local_ip }) => local_ip === null || ownIps.includes(local_ip))
      return JSON.stringify({ ...record, ...(addresses && { addresses }), ...(events && { events }) })
    })
    writeFileSync(file, `${rewritten.join('\n')}\n`)
  }
}

for (const mechanism of ['none', ...linuxMechanisms]) {
  test(`sessions of containers get their own processes and pod, kernel events: ${mechanism}`, { skip }, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-containers-'))
    const network = new LabNetwork(`containers-${mechanism}-${process.pid}`, sides)
    const cgroup = makePodCgroup()
    const capture = path.join(folder, 'capture.pcap')
    const sockets = path.join(folder, 'sockets')
    const start = async (side: Side, script: string, ...args: string[]) => {
      const child = network.start(side, 'python3', ['-c', script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
      if (script === serve) await waitForOutput(child, 'serving')
      return child
    }
    const end = async (child: ChildProcess, signal: NodeJS.Signals) => {
      child.kill(signal)
      await once(child, 'exit')
    }
    try {
      const world = await start('world', serve, '443')
      const host = await start('host', serve, '8080', '9090')
      const shop = await start('shop', serve, '8080')
      const web = await start('web', serve, '8080')
      cgroup.join(web.pid!)
      const dumpArgs = ['-i', 'eth0', '-w', capture, '-Z', 'root', '--immediate-mode']
      const dump = network.start('world', 'tcpdump', dumpArgs)
      const logs = `mount -t tmpfs none /var/log && mkdir -p /var/log/pods/shop_web-0_${podUid} && exec "$@"`
      const recordArgs = [
        proclabel,
        'record',
        '--out',
        sockets,
        '--host',
        'desk',
        '--events',
        mechanism,
        '--namespaces',
        'all',
      ]
      const record = network.start('host', 'unshare', [
        '--mount',
        'sh',
        '-c',
        logs,
        'sh',
        process.execPath,
        ...recordArgs,
      ])
      await Promise.all([waitForOutput(dump, 'listening on'), waitForOutput(record, 'recording')])
      await sleep(1500)
      const ends = [`${hostIp}:8080`, `${webIp}:8080`, `${shopIp}:8080`, `${webIp}:9090`]
      await once(await start('world', fetch, ...ends), 'exit')
      const hold = 'import socket, time; s = socket.create_connection(("192.0.2.1", 443)); time.sleep(1)'
      const client = await start('shop', hold)
      await once(client, 'exit')
      await sleep(1500)
      await end(record, 'SIGINT')
      await end(dump, 'SIGINT')

      forgetWorld(sockets)
      const out = path.join(folder, 'labeled.jsonl')
      const labelArgs = [proclabel, 'label', capture, '--sockets', sockets, '--out', out, '--quiet']
      execFileSync(process.execPath, labelArgs, { stdio: ['ignore', 'ignore', 'inherit'] })
      const sessions = readSessions(out)
      const of = (ip: string, isOf: (session: LabeledSession) => boolean) => {
        const found = sessions.filter(session => session.local_ip === ip && session.proto === 'tcp' && isOf(session))
        assert.equal(found.length, 1, JSON.stringify(found))
        return found[0]!
      }
      const pidOf = (ip: string, port: number) => of(ip, session => session.local_port === port).label?.pid ?? null
      // One port, three servers, each on every address: of its own namespace.
      assert.deepEqual(
        [hostIp, webIp, shopIp].map(ip => pidOf(ip, 8080)),
        [host, web, shop].map(({ pid }) => pid),
      )
      assert.equal(
        of(shopIp, session => session.remote_ip === worldAddresses[0] && session.remote_port === 443).label?.pid,
        client.pid,
      )
      const refused = of(webIp, session => session.local_port === 9090)
      assert.deepEqual(
        [refused.label, refused.unknown_cause],
        [null, 'refused'],
        'the server on port 9090 is the host’s alone',
      )
      const { label } = of(webIp, session => session.local_port === 8080)
      assert.deepEqual([label?.container_id, label?.pod], [containerId, 'shop/web-0'])
      const others = sessions.filter(session => session.local_ip !== webIp && session.label !== null)
      assert.ok(others.every(session => session.label!.pod === null))
      await end(world, 'SIGKILL')
      for (const child of [host, web, shop]) await end(child, 'SIGKILL')
    } finally {
      await network.close()
      cgroup.remove()
      rmSync(folder, { recursive: true })
    }
  })
}
