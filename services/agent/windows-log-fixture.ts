import { importWindowsLog, type WindowsLog } from './windows-log.ts'
import type { WindowsEvidence } from './windows-log-record.ts'

export const importRecords = (records: readonly unknown[], wanted: WindowsEvidence | null = null) =>
  importWindowsLog(
    records.map(record => ({ text: typeof record === 'string' ? record : JSON.stringify(record), ended: true })),
    wanted,
  )

export const allEvents = (log: WindowsLog) => log.events.flatMap(message => message.events)
export const allProcesses = (log: WindowsLog) => log.events.flatMap(message => message.processes)

/** Microseconds of a time in UTC. */
export const us = (time: string) => Date.parse(`${time}Z`) * 1000

/** As NXLog writes it: flat, whole seconds, local time of a collector four hours behind UTC. */
export const nxlog5156 = {
  EventTime: '2020-09-22 14:53:04',
  EventReceivedTime: '2020-09-22 14:53:06',
  '@timestamp': '2020-09-22T18:53:06.198Z',
  EventID: 5156,
  Channel: 'security',
  Hostname: 'ws5.example.org',
  host: 'collector.example.org',
  ExecutionProcessID: 4,
  ThreadID: 6772,
  ProcessId: '3260',
  Application: '\\device\\harddiskvolume2\\program files\\agent\\agent.exe',
  Direction: '%%14593',
  SourceAddress: '172.18.39.5',
  SourcePort: '62779',
  DestAddress: '168.63.129.16',
  DestPort: '80',
  Protocol: '6',
}

export const sysmon3 = {
  UtcTime: '2020-09-22 18:53:31.668',
  EventTime: '2020-09-22 14:53:33',
  EventID: 3,
  Channel: 'Microsoft-Windows-Sysmon/Operational',
  Hostname: 'ws5.example.org',
  ProcessGuid: '{b34bc01c-2255-5f69-0100-000000000900}',
  ProcessId: '4',
  Image: 'System',
  Protocol: 'tcp',
  Initiated: 'true',
  SourceIp: '172.18.39.5',
  SourcePort: '62782',
  DestinationIp: '172.18.39.6',
  DestinationPort: '445',
}
