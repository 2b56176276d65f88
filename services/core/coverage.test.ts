import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, TestHost } from './test-host.ts'

test('there is no watermark without socket data', () => {
  assert.equal(new TestHost().matcher.watermarkUs(), null)
})

test('the watermark waits for the slower source, but not for one that has fallen silent', () => {
  const host = new TestHost()
  host.pollOn(0, 1_000)
  host.events('etw', 600, [])
  assert.equal(host.matcher.watermarkUs(), at(600))
  host.pollOn(1_050, 5_000)
  assert.equal(host.matcher.watermarkUs(), at(5_000))
})

test('the watermark is on the capture clock', () => {
  const host = new TestHost()
  const ends = 'tcp 10.0.0.1:40000 1.1.1.1:443'
  host.events('etw', 20_000, [{ ms: 11_000, kind: 'connect', ends, process: 'curl' }])
  host.matcher.observeSession({
    sessionId: 's',
    proto: 'tcp',
    localIp: '10.0.0.1',
    localPort: 40_000,
    remoteIp: '1.1.1.1',
    remotePort: 443,
    firstUs: at(0),
    lastUs: at(0),
    direction: 'out',
    directionBy: 'syn',
    synSeen: true,
    packetsOut: 1,
    packetsIn: 0,
    tcpFlags: 2,
    sni: null,
    ja4: null,
    captureGap: false,
  })
  assert.equal(host.matcher.watermarkUs(), at(9_000))
})
