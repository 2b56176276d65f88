import assert from 'node:assert/strict'
import type { Process, Socket } from '#schemas'
import type { NativeSource } from './native-source.ts'

/** Follows a source as a reader of its deltas would. */
export class Follower {
  readonly source: NativeSource
  readonly table = new Map<number, Socket>()
  readonly processes = new Map<string, Process>()

  constructor(source: NativeSource) {
    this.source = source
  }

  poll(): this {
    const reading = this.source.poll()
    for (const id of reading.closed) assert.ok(this.table.delete(id), `socket ${id} was closed but never opened`)
    for (const socket of reading.opened) this.table.set(socket.id, socket)
    for (const found of reading.processes) this.processes.set(`${found.pid} ${found.start_us}`, found)
    return this
  }

  find(wanted: Partial<Socket>): Socket[] {
    const fields = Object.entries(wanted)
    return [...this.table.values()].filter(socket =>
      fields.every(([key, value]) => socket[key as keyof Socket] === value),
    )
  }

  /** The socket that fits, which must be the only one. */
  one(wanted: Partial<Socket>): Socket {
    const found = this.find(wanted)
    assert.equal(found.length, 1, `${JSON.stringify(wanted)} fits ${JSON.stringify(found)}`)
    return found[0]!
  }

  ownersOf(socket: Socket): Process[] {
    return socket.owners.map(({ pid, start_us }) => this.processes.get(`${pid} ${start_us}`)!)
  }

  pidsOf(wanted: Partial<Socket>): number[] {
    return this.one(wanted).owners.map(owner => owner.pid)
  }
}
