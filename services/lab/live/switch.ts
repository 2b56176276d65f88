import { statSync, writeFileSync } from 'node:fs'
import { addressesOf, LabNetwork, type Side, worldAddresses } from '../../e2e/lab/network.ts'
import type { Spaces } from './witness.ts'

/** The observed hosts, by name. */
export const hosts = ['desk', 'lab', 'shed', 'rack', 'attic', 'porch', 'den'] as const
/** Where the servers run: `world` has all addresses that the network knows as the world's, `annex` one of its own. */
const servers = ['world-servers', 'annex'] as const
const mirror = 'mirror'
const sides = [...hosts, ...servers, mirror]

/**
 * Seven hosts and their servers on a switch that learns nothing, so that every frame goes to every port: the mirror port is
 * one of them. `LabNetwork`, its world moved from the switch itself into a namespace behind it.
 */
export class LabSwitch {
  readonly network: LabNetwork
  readonly mirror: Side = mirror
  readonly worldSide: Side = servers[0]
  readonly annexAddresses = addressesOf(sides.indexOf('annex'))
  readonly #name: string

  constructor(name: string) {
    this.#name = name
    this.network = new LabNetwork(name, sides)
    this.#moveWorld()
    this.network.ip('world', 'link', 'set', 'eth0', 'type', 'bridge', 'ageing_time', '0')
    this.#introduce()
  }

  addressesOf(host: (typeof hosts)[number]): readonly [string, string] {
    return addressesOf(hosts.indexOf(host))
  }

  /** Programs that start on the host from now on ask a resolver there for names. */
  useOwnResolver(host: (typeof hosts)[number]): void {
    writeFileSync(`/etc/netns/${this.#name}-${host}/resolv.conf`, 'nameserver 127.0.0.1\n')
  }

  /** For the witness: the hosts' namespaces. */
  spaces(): Spaces {
    return new Map(hosts.map(host => [statSync(`/run/netns/${this.#name}-${host}`).ino, host]))
  }

  #moveWorld(): void {
    const { network, worldSide } = this
    const [v4, v6] = worldAddresses
    network.ip('world', 'address', 'flush', 'dev', 'eth0')
    for (const route of ['198.51.100.0/24', '2001:db8:51::/64']) {
      network.ip('world', 'route', 'delete', 'local', route, 'dev', 'lo')
      network.ip(worldSide, 'route', 'add', 'local', route, 'dev', 'lo')
    }
    network.ip(worldSide, 'route', 'delete', 'default')
    network.ip(worldSide, '-6', 'route', 'delete', 'default')
    network.ip(worldSide, 'address', 'add', `${v4}/24`, 'dev', 'eth0')
    network.ip(worldSide, 'address', 'add', `${v6}/64`, 'dev', 'eth0', 'nodad')
    network.allowForeignBinds(worldSide)
  }

  /** All know each other's hardware: a datagram leaves in its sender's name, not in that of who brings the address. */
  #introduce(): void {
    const known = sides.map((side, place) => {
      const [link] = JSON.parse(this.network.ip(side, '-j', 'link', 'show', 'eth0')) as { address: string }[]
      const addresses = side === this.worldSide ? [...addressesOf(place), ...worldAddresses] : addressesOf(place)
      return { side, mac: link!.address, addresses }
    })
    for (const { side } of known) {
      for (const other of known) {
        if (other.side === side) continue
        for (const address of other.addresses)
          this.network.ip(side, 'neighbour', 'replace', address, 'lladdr', other.mac, 'dev', 'eth0', 'nud', 'permanent')
      }
    }
  }
}
