import { writeFileSync } from 'node:fs'
import type { Host, Socket } from '#schemas'
import { readSocketLog, type SocketLogRecord } from './socket-log.ts'

/** Noon of some day, microseconds since the epoch. */
export const NOON_US = Date.UTC(2026, 0, 31, 12) * 1000

export const host: Host = {
  host_id: 'desk',
  names: ['desk'],
  addresses: [{ ip: '192.0.2.1', since_us: null, until_us: null, namespace: null }],
  os: 'linux',
  agent_version: '0.1.0',
  poll_period_us: 50_000,
  boot_id: null,
  updated_us: NOON_US,
}

export const socket: Socket = {
  id: 5,
  proto: 'tcp',
  local_ip: '192.0.2.1',
  local_port: 40_000,
  remote_ip: '2001:db8::1',
  remote_port: 443,
  state: 'established',
  v6_only: false,
  owners: [{ pid: 7, start_us: null }],
  created_us: null,
}

/** All that a log of this text tells. */
export async function readText(file: string, text: string | Uint8Array) {
  writeFileSync(file, text)
  const log = readSocketLog(file)
  const records: SocketLogRecord[] = []
  for await (const record of log) records.push(record)
  return { records, counts: log.counts, file }
}
