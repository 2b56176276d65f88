import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dnsAnswers, parseDns } from './dns.ts'
import { dnsMessage, nameBytes, record } from './dns-fixture.ts'

test('a chain of CNAME records gives its addresses the name that was asked for', () => {
  const bytes = dnsMessage({
    question: 'www.example.com',
    answers: [
      record('WWW.example.com', 'CNAME', nameBytes('edge.example.net')),
      record('Edge.example.net', 'CNAME', nameBytes('a1.example.org')),
      record('a1.example.org', 'A', Buffer.of(192, 0, 2, 1), 60),
      record('other.example.org', 'A', Buffer.of(192, 0, 2, 9)),
      record('a1.example.org', 'AAAA', Buffer.from('20010db8000000000000000000000001', 'hex')),
    ],
    additional: [record('ns.example.org', 'A', Buffer.of(192, 0, 2, 53))],
  })
  const message = parseDns(bytes)!
  assert.equal(message.complete, true)
  assert.equal(message.records.length, 6)
  assert.deepEqual(dnsAnswers(message), [
    { name: 'www.example.com', address: '192.0.2.1', ttlSeconds: 60 },
    { name: 'www.example.com', address: '2001:db8::1', ttlSeconds: 300 },
  ])
})

test('mDNS repeats no question: records speak for themselves', () => {
  const bytes = dnsMessage({ answers: [record('printer.local', 'A', Buffer.of(192, 0, 2, 7), 120, 0x8001)] })
  assert.deepEqual(dnsAnswers(parseDns(bytes)!), [{ name: 'printer.local', address: '192.0.2.7', ttlSeconds: 120 }])
})

test('queries and refusals give nothing', () => {
  const answers = [record('example.com', 'A', Buffer.of(192, 0, 2, 1))]
  assert.deepEqual(dnsAnswers(parseDns(dnsMessage({ flags: 0x0100, question: 'example.com', answers }))!), [])
  assert.deepEqual(dnsAnswers(parseDns(dnsMessage({ flags: 0x8183, question: 'example.com', answers }))!), [])
})

test('compressed names, and loops of pointers and of aliases', () => {
  // The answer's name points at the question's, whose name begins right behind the header.
  const compressed = dnsMessage({
    question: 'example.com',
    answers: [record(Buffer.of(0xc0, 12), 'A', Buffer.of(192, 0, 2, 1))],
  })
  assert.deepEqual(dnsAnswers(parseDns(compressed)!), [{ name: 'example.com', address: '192.0.2.1', ttlSeconds: 300 }])

  const toItself = dnsMessage({ answers: [record(Buffer.of(0xc0, 12), 'A', Buffer.of(192, 0, 2, 1))] })
  assert.deepEqual(parseDns(toItself)!.records, [])
  assert.equal(parseDns(toItself)!.complete, false)

  const aliases = dnsMessage({
    question: 'a.example',
    answers: [
      record('a.example', 'CNAME', nameBytes('b.example')),
      record('b.example', 'CNAME', nameBytes('a.example')),
      record('b.example', 'A', Buffer.of(192, 0, 2, 1)),
    ],
  })
  assert.equal(dnsAnswers(parseDns(aliases)!).length, 1)
})

test('IPv6 text by RFC 5952, v4-mapped as IPv4', () => {
  const text = (hex: string) => {
    const bytes = dnsMessage({ question: 'x', answers: [record('x', 'AAAA', Buffer.from(hex, 'hex'))] })
    return dnsAnswers(parseDns(bytes)!)[0]!.address
  }
  assert.equal(text('20010db8000000010000000000000001'), '2001:db8:0:1::1')
  assert.equal(text('20010db8000100000001000000000001'), '2001:db8:1:0:1::1')
  assert.equal(text('20010db8000100010001000100010000'), '2001:db8:1:1:1:1:1:0')
  assert.equal(text('00000000000000000000000000000000'), '::')
  assert.equal(text('00000000000000000000ffffc0000201'), '192.0.2.1')
})

test('bytes of a label that are not plain text are escaped', () => {
  const bytes = dnsMessage({ question: Buffer.from('\x05a.b\\\xff\0', 'latin1') })
  assert.equal(parseDns(bytes)!.questions[0]!.name, 'a\\.b\\\\\\255')
})

test('hostile counts and cut messages are read as far as they go', () => {
  const bytes = dnsMessage({ question: 'example.com', answers: [record('example.com', 'A', Buffer.of(192, 0, 2, 1))] })
  bytes.writeUInt16BE(0xffff, 6)
  assert.equal(parseDns(bytes)!.records.length, 1)
  assert.equal(parseDns(bytes)!.complete, false)
  for (let length = 0; length < bytes.length; length++) {
    const message = parseDns(bytes.subarray(0, length))
    assert.equal(message?.records.length ?? 0, 0)
  }
  const many = dnsMessage({
    question: 'x',
    answers: Array.from({ length: 3000 }, () => record(Buffer.of(0xc0, 12), 'A', Buffer.of(192, 0, 2, 1))),
  })
  assert.equal(parseDns(many)!.records.length, 512)
})
