import { Random } from './random.ts'

export interface Server {
  name: string
  ip: string
}

/** Addresses that many names share, as content networks have them. */
const sharedAddresses = 300
const publicNames = 3000
/** Of the public names, and of a program's own. */
const onShared = { public: 0.6, own: 0.4 }

/** Who can be reached: names with an address each, some of them on shared addresses. The same for all hosts. */
export class Internet {
  readonly #random: Random
  readonly #shared: string[]
  readonly #public: Server[]
  readonly #own = new Map<string, Server[]>()
  #addresses = 0

  constructor(seed: number) {
    this.#random = new Random(seed)
    this.#shared = Array.from({ length: sharedAddresses }, () => this.#newAddress())
    this.#public = Array.from({ length: publicNames }, (_, i) => this.#server(`www.site${i}.example`, onShared.public))
  }

  /** A server that anybody goes to, popular ones more often. */
  anywhere(random: Random): Server {
    return this.#public[random.ranked(publicNames)]!
  }

  /** One of the servers of a program's maker. */
  ownOf(program: string, names: number, random: Random): Server {
    let servers = this.#own.get(program)
    if (!servers) {
      const maker = program.toLowerCase().replace(/\.exe$/, '')
      servers = Array.from({ length: names }, (_, i) => this.#server(`api${i}.${maker}.example`, onShared.own))
      this.#own.set(program, servers)
    }
    return random.pick(servers)
  }

  /** Somebody at home: another player, a scanner. */
  someone(random: Random): string {
    return `203.0.113.${1 + random.ranked(250)}`
  }

  #server(name: string, sharedShare: number): Server {
    const ip = this.#random.chance(sharedShare) ? this.#random.pick(this.#shared) : this.#newAddress()
    return { name, ip }
  }

  #newAddress(): string {
    const n = this.#addresses++
    return `198.${18 + (n >>> 16)}.${(n >>> 8) & 255}.${n & 255}`
  }
}
