/**
 * Partition key of every input topic. All producers call this, so that one matcher sees all that concerns a host.
 */
export const partitionKey = (hostId: string): string => hostId

/** One end of a flow: 16 address bytes as text of any fixed form, and the port. */
export interface FlowEnd {
  ip: string
  port: number
}

/**
 * The 5-tuple without direction: a flow and its reverse give the same key. For use inside one host's state only;
 * it is never a partition key, since a listening socket has no remote end.
 */
export function flowKey(protocol: string | number, a: FlowEnd, b: FlowEnd): string {
  const first = `${a.ip} ${a.port}`
  const second = `${b.ip} ${b.port}`
  return first < second ? `${protocol} ${first} ${second}` : `${protocol} ${second} ${first}`
}
