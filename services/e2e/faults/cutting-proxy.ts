import { once } from 'node:events'
import net from 'node:net'

const host = '127.0.0.1'

/** Of a Kafka request: its length takes four bytes, then comes its kind; 0 is Produce. */
const kindAt = 4
const produce = 0

/** A TCP proxy in front of a broker on loopback, which cuts producers' connections when it is told to. */
export class CuttingProxy {
  /** What it stands in front of; set before the first connection. */
  target = 0
  /** Connections that were cut. */
  cuts = 0
  /** When the last was, by performance.now(). */
  lastCutMs = Number.NaN
  readonly #server = net.createServer(near => this.#relay(near))
  readonly #doomed = new WeakSet<net.Socket>()
  readonly #open = new Set<net.Socket>()

  static async listen(): Promise<CuttingProxy> {
    const proxy = new CuttingProxy()
    proxy.#server.listen(0, host)
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  /** The next acknowledgement on each connection is lost, and the connection with it: records are there, and nobody knows. */
  cut(): void {
    for (const near of this.#open) this.#doomed.add(near)
  }

  close(): void {
    this.#server.close()
    for (const near of this.#open) near.destroy()
  }

  #relay(near: net.Socket): void {
    const far = net.connect(this.target, host)
    this.#open.add(near)
    let isProduce = false
    near.on('data', request => {
      isProduce = request.length > kindAt + 1 && request.readInt16BE(kindAt) === produce
    })
    near.pipe(far)
    far.on('data', answer => {
      if (!isProduce || !this.#doomed.delete(near)) near.write(answer)
      else {
        this.cuts++
        this.lastCutMs = performance.now()
        near.resetAndDestroy()
      }
    })
    near.on('error', () => far.destroy())
    near.on('close', () => {
      this.#open.delete(near)
      far.destroy()
    })
    far.on('error', () => near.destroy())
    far.on('close', () => near.destroy())
  }
}
