import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { calculateJa4, getExtensionData, readTlsClientHello } from 'read-tls-client-hello'
import { openCapture } from '../../capture/files/open-capture.ts'
import { capturesDir } from '../../shared/captures-dir.ts'
import { FrameDecoder } from './frame.ts'
import { ja4 } from './ja4.ts'
import { Packet } from './packet.ts'
import { findClientHello, isGrease } from './tls.ts'

/** TCP payloads of a capture that begin with a TLS record of type handshake. */
async function* payloads(path: string): AsyncIterable<Buffer> {
  const decoder = new FrameDecoder(() => {})
  const packet = new Packet()
  const source = await openCapture(path)
  for await (const { count, data, offset, captured, linkType } of source.blocks()) {
    for (let i = 0; i < count; i++) {
      const reason = decoder.decode(data, offset[i]!, offset[i]! + captured[i]!, linkType[i]!, packet)
      if (reason !== 'ok' || packet.protocol !== 6) continue
      const payload = data.subarray(packet.payloadOffset, packet.payloadOffset + packet.payloadCaptured)
      if (payload[0] === 0x16 && payload[5] === 1) yield Buffer.from(payload)
    }
  }
  await source.close()
}

test('name, protocols and JA4 agree with read-tls-client-hello on the hellos of real captures', async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  const problems: unknown[] = []
  let compared = 0
  for (const name of readdirSync(join(dir, 'captures'))) {
    try {
      for await (const payload of payloads(join(dir, 'captures', name))) {
        const ours = findClientHello(payload, 0, payload.length, false)
        if (typeof ours !== 'object' || !ours.complete) continue
        const theirs = await readTlsClientHello(Readable.from(payload, { objectMode: false })).catch(() => null)
        // It gives up on hellos in several records and on those without any extensions.
        if (theirs === null) continue
        // It writes counts above 99 out, where the specification says 99.
        if (theirs.cipherSuites.length > 99) continue
        // It takes supported_versions to mean TLS 1.3 and knows no SSL 3.
        const version = ja4(ours, 't').slice(1, 3)
        const expected = calculateJa4(theirs)
        const theirAlpn = getExtensionData(theirs, 'application_layer_protocol_negotiation')?.protocols ?? []
        const want = {
          sni: getExtensionData(theirs, 'server_name')?.serverName ?? null,
          alpn: theirAlpn.filter(p => !(p.length === 2 && isGrease((p.charCodeAt(0) << 8) | p.charCodeAt(1)))),
          ja4: ours.supportedVersions.length > 0 || version === 's3' ? `t${version}${expected.slice(3)}` : expected,
        }
        const have = { sni: ours.sni, alpn: ours.alpn, ja4: ja4(ours, 't') }
        compared++
        if (JSON.stringify(want) !== JSON.stringify(have)) problems.push({ name, want, have })
      }
    } catch {
      // Files that cannot be opened are the reader's tests.
    }
  }
  assert.deepEqual(problems, [])
  assert.ok(compared > 50, `only ${compared} hellos compared`)
})
