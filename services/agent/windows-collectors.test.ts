import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allEvents, importRecords, nxlog5156, sysmon3 } from './windows-log-fixture.ts'
import { isWindowsRecord } from './windows-log-record.ts'

const eventData = {
  ProcessID: '0xcbc',
  Application: nxlog5156.Application,
  Direction: 'Outbound',
  SourceAddress: '172.18.39.5',
  SourcePort: '62779',
  DestAddress: '168.63.129.16',
  DestPort: '80',
  Protocol: '6',
}
for (const [collector, record] of Object.entries({
  winlogbeat: {
    '@timestamp': '2020-09-22T18:53:04.000Z',
    host: { name: 'collector' },
    winlog: { event_id: 5156, channel: 'Security', computer_name: 'ws5.example.org', event_data: eventData },
  },
  'winlogbeat with a text id': {
    '@timestamp': '2020-09-22T18:53:04.000Z',
    winlog: {
      event_id: '5156',
      provider_name: 'Microsoft-Windows-Security-Auditing',
      computer_name: 'ws5.example.org',
      event_data: eventData,
    },
  },
  'older winlogbeat': {
    '@timestamp': '2020-09-22T18:53:04.000Z',
    event_id: 5156,
    log_name: 'Security',
    computer_name: 'ws5.example.org',
    event_data: eventData,
  },
  'an evtx exporter': {
    Event: {
      System: {
        EventID: { '#text': 5156 },
        Channel: 'Security',
        Computer: 'ws5.example.org',
        TimeCreated: { '#attributes': { SystemTime: '2020-09-22T18:53:04.000000Z' } },
        Execution: { '#attributes': { ProcessID: 4 } },
      },
      EventData: { ...eventData, ProcessID: 3260, SourcePort: 62779, DestPort: 80, Protocol: 6 },
    },
  },
  'older nxlog, with the pid of who logged': { ...nxlog5156, ProcessID: 4 },
})) {
  test(`${collector} tells the same connection in its own spelling`, async () => {
    assert.ok(isWindowsRecord(record))
    const [event] = allEvents(await importRecords([record]))
    const [expected] = allEvents(await importRecords([nxlog5156]))
    assert.deepEqual({ ...event, resolution_us: 0 }, { ...expected, resolution_us: 0 })
  })
}

for (const [collector, record] of Object.entries({
  "winlogbeat's module for Sysmon": {
    '@timestamp': '2020-09-22T18:53:31.668Z',
    source: { ip: '172.18.39.5', port: 62782 },
    destination: { ip: '172.18.39.6', port: 445 },
    network: { transport: 'tcp', direction: 'egress', type: 'ipv4' },
    process: { entity_id: sysmon3.ProcessGuid, executable: 'System', pid: 4 },
    winlog: {
      ...{ event_id: 3, channel: sysmon3.Channel, computer_name: 'ws5.example.org' },
      process: { pid: 2828, thread: { id: 1684 } },
    },
  },
  'wazuh, in its archives': {
    timestamp: '2020-09-22T18:53:34.000+0000',
    agent: { id: '002', name: 'ws5' },
    data: {
      win: {
        system: {
          ...{ providerName: 'Microsoft-Windows-Sysmon', eventID: '3', channel: sysmon3.Channel },
          ...{ systemTime: '2020-09-22T18:53:33.0750913Z', processID: '3536', threadID: '3340' },
          computer: 'ws5.example.org',
        },
        eventdata: Object.fromEntries(
          Object.entries(sysmon3).map(([name, value]) => [name[0]!.toLowerCase() + name.slice(1), value]),
        ),
      },
    },
  },
})) {
  test(`${collector} tells the same connection in its own spelling`, async () => {
    assert.ok(isWindowsRecord(record))
    assert.deepEqual(allEvents(await importRecords([record])), allEvents(await importRecords([sysmon3])))
  })
}
