import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ProclabelError } from './errors.ts'
import type { PrometheusMetrics } from './metrics.ts'

/** How long work may wait without anything moving before the process should be restarted, ms. */
const defaultStallMs = 60_000

/** A part of a service that says how it is. New ones are idle and not ready. */
export class HealthComponent {
  readonly name: string
  readonly #now: () => number
  #waitingSince: number | null = null
  #notReady: string | null = 'starting'

  constructor(name: string, now: () => number) {
    this.name = name
    this.#now = now
  }

  /** Something moved: a batch was committed, a record acknowledged. */
  progress(): void {
    if (this.#waitingSince !== null) this.#waitingSince = this.#now()
  }

  /** Whether work waits, from now on: while it does and there is no `progress`, time counts against this part. */
  waiting(isWaiting: boolean): void {
    if (isWaiting) this.#waitingSince ??= this.#now()
    else this.#waitingSince = null
  }

  ready(): void {
    this.#notReady = null
  }

  /** `reason` is read by operators: "the schema registry is away". */
  notReady(reason: string): void {
    this.#notReady = reason
  }

  /** Milliseconds for which work has waited and nothing moved. */
  get stalledMs(): number {
    return this.#waitingSince === null ? 0 : this.#now() - this.#waitingSince
  }

  /** Why it is not ready; null when it is. */
  get reason(): string | null {
    return this.#notReady
  }
}

/** How a service is: alive while what it has to do gets done, ready once all its parts are. */
export class Health {
  readonly #components: HealthComponent[] = []
  readonly #now: () => number
  readonly #stallMs: number

  constructor({ stallMs = defaultStallMs, now = () => performance.now() } = {}) {
    this.#stallMs = stallMs
    this.#now = now
  }

  component(name: string): HealthComponent {
    const component = new HealthComponent(name, this.#now)
    this.#components.push(component)
    return component
  }

  /** One sentence for each part in which work waits and nothing moves; empty while the service is alive. */
  stalled(): string[] {
    return this.#components
      .filter(({ stalledMs }) => stalledMs > this.#stallMs)
      .map(({ name, stalledMs }) => `${name}: work waits and nothing has moved for ${Math.round(stalledMs / 1000)} s`)
  }

  /** One sentence for each part that is not ready. */
  notReady(): string[] {
    return this.#components.filter(({ reason }) => reason !== null).map(({ name, reason }) => `${name}: ${reason}`)
  }
}

export interface HealthServer {
  /** host:port as it listens, the port chosen by the system where 0 was asked for. */
  address: string
  close: () => Promise<void>
}

/** Serves /metrics, /healthz and /readyz. Throws PROCLABEL_HTTP when it cannot listen there. */
export async function serveHealth(
  { host, port }: { host: string; port: number },
  { health, metrics }: { health: Health; metrics: PrometheusMetrics },
): Promise<HealthServer> {
  const answer = async (path: string): Promise<{ status: number; type: string; body: string }> => {
    if (path === '/metrics') return { status: 200, type: metrics.contentType, body: await metrics.text() }
    const problems = path === '/healthz' ? health.stalled() : path === '/readyz' ? health.notReady() : null
    const type = 'text/plain; charset=utf-8'
    if (problems === null) return { status: 404, type, body: '/metrics, /healthz and /readyz are here\n' }
    return { status: problems.length > 0 ? 503 : 200, type, body: `${problems.join('\n') || 'ok'}\n` }
  }
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD', connection: 'close' }).end()
      return
    }
    answer(request.url!.split('?')[0]!).then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
      error => response.writeHead(500).end(`${(error as Error).message}\n`),
    )
  })
  // A client that sends half a request does not hold a connection for long.
  server.headersTimeout = server.requestTimeout = 5000
  await listen(server, host, port)
  const { address, family, port: chosen } = server.address() as AddressInfo
  return {
    address: `${family === 'IPv6' ? `[${address}]` : address}:${chosen}`,
    close: () => {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeAllConnections()
      return closed
    },
  }
}

const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const problem = error.code === 'EADDRINUSE' ? 'it is in use: give another --metrics-address' : error.message
      reject(new ProclabelError('PROCLABEL_HTTP', `cannot listen on ${host}:${port}: ${problem}`, { cause: error }))
    })
    server.listen(port, host, resolve)
  })
