import assert from 'node:assert/strict'
import path from 'node:path'
import { addressesOf, ended, type LabNetwork, waitForOutput, worldAddress } from './network.ts'
import { brief, fromPort, heldTcp, heldUdp, hostServers, type Program } from './programs.ts'
import { type Run, runProgram, type Truth } from './truth.ts'

const heldMs = [250, 600, 1500, 3000]
export const kinds = Object.entries({ ...heldTcp, ...heldUdp })
const firstServerPort = 8000

/** Real programs of one host that talk to the world, and the truth about them. */
export class Traffic {
  readonly #network: LabNetwork
  readonly #truth: Truth
  readonly #host: string
  readonly #place: number
  readonly #nextAddress: () => number

  /** `place` of the host among the network's; `nextAddress` gives each address of the world out once. */
  constructor(network: LabNetwork, truth: Truth, nextAddress: () => number, host = 'host', place = 0) {
    this.#network = network
    this.#truth = truth
    this.#nextAddress = nextAddress
    this.#host = host
    this.#place = place
  }

  /** Runs a program that has an address to itself, in turns IPv4 and IPv6. */
  async alone(name: string, program: (address: string) => Program): Promise<void> {
    const n = this.#nextAddress()
    const address = worldAddress(n % 2 === 0 ? 4 : 6, Math.ceil(n / 2))
    await runProgram(this.#network, name, program(address), run => this.#truth.ownsRemote(address, run), this.#host)
  }

  /** The address is shared, so the run's own word on its local port tells whose a session is. */
  async shared(name: string, address: string, program: Program): Promise<void> {
    const { ports, ...run } = await runProgram(this.#network, name, program, () => {}, this.#host)
    assert.ok(ports.length > 0, `${name} told no port`)
    for (const port of ports) this.#truth.ownsLocal(address, port, run)
  }

  /** Everybody at once, each for another time, over IPv4 and IPv6, and brief ones between. */
  async mixture(rounds: number): Promise<void> {
    const everybody = Array.from({ length: rounds }, () => kinds).flat()
    const held = everybody.map(([name, kind], i) => this.alone(name, at => kind(at, heldMs[i % heldMs.length]!)))
    for (let round = 0; round < 2 * rounds; round++)
      for (const [name, kind] of Object.entries(brief)) await this.alone(name, at => kind(at, 0))
    await Promise.all(held)
  }

  /** Different programs on one address and port at the same time: only the local port tells them apart. */
  async crowd(): Promise<void> {
    const address = worldAddress(4, 200)
    const crowd = ['curl', 'python', 'node', 'curl', 'python'].map((name, i) =>
      this.shared(`${name}, in a crowd`, address, heldTcp[name]!(address, 400 + 150 * i)),
    )
    await Promise.all(crowd)
  }

  /** Two programs that have the same local port to the same address, one directly after the other. */
  async portReuse(): Promise<void> {
    const port = 41_000
    await this.alone('python, then its port', address => fromPort.python(address, 700, port))
    await this.alone('node, on that port', address => fromPort.node(address, 700, port))
  }

  /** Servers on the host, and clients out in the world. */
  async servers(): Promise<void> {
    await this.#serve(async url => {
      const clients = [300, 800, 1400].map(ms =>
        ended(this.#network.start('world', 'curl', ['-sS', '-o', '/dev/null', url(ms)])),
      )
      for (const { status } of await Promise.all(clients)) assert.equal(status, 0)
    })
  }

  /** Servers on the host, and programs of another observed host that visit them. */
  async visitedBy(other: Traffic): Promise<void> {
    const [address] = addressesOf(this.#place)
    await this.#serve(async (url, name) => {
      const args = ['-sS', '-o', '/dev/null', '-w', 'port %{local_port}\n']
      const visits = [300, 800].map(ms =>
        other.shared(`curl to ${name}`, address, { command: '/usr/bin/curl', args: [...args, url(ms)] }),
      )
      await Promise.all(visits)
    })
  }

  async #serve(visit: (url: (ms: number) => string, name: string) => Promise<void>): Promise<void> {
    const [address] = addressesOf(this.#place)
    for (const [i, [name, server]] of Object.entries(hostServers).entries()) {
      const port = firstServerPort + 10 * this.#place + i
      const { command, args } = server(port)
      const child = this.#network.start(this.#host, command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      await waitForOutput(child, 'ready')
      const run: Run = { name, pid: child.pid!, process: path.basename(command) }
      this.#truth.serves(port, run)
      await visit(ms => `http://${address}:${port}/ms=${ms}/`, name)
      child.kill()
    }
  }
}

/** Gives out 1, 2, 3 and so on. */
export function createCounter(): () => number {
  let last = 0
  return () => ++last
}
