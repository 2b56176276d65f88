import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import confluent from '@kafkajs/confluent-schema-registry'
import { InputError, ProclabelError } from './errors.ts'

const { COMPATIBILITY, SchemaRegistry, SchemaType } = confluent

const requestMs = 5000
const compatibility = COMPATIBILITY.BACKWARD_TRANSITIVE

export interface RegistrySettings {
  /** Base address of the Confluent-compatible API; its path counts: Apicurio's is /apis/ccompat/v7. */
  url: string
  /** The authority that signed the registry's certificate, PEM. */
  caFile?: string
  /** HTTP basic authentication. */
  username?: string
  passwordFile?: string
  /** Instead of the file, from the environment. */
  password?: string
}

/** What `register` did. */
export type Registration = 'registered' | 'compatibility-set' | 'unchanged'

type Request<P, R> = (parameters: P) => Promise<{ data: () => R }>
interface Api {
  Schema: { find: Request<{ id: number }, { schema: string }> }
  Subject: {
    config: Request<{ subject: string }, { compatibilityLevel: string }>
    updateConfig: Request<{ subject: string; body: { compatibility: string } }, unknown>
  }
}

/** Gives every request a limit: the client itself has none, and a registry that hangs would hang us. */
const timeout = () => ({
  prepareRequest: async <R extends { enhance: (options: { timeout: number }) => R }>(
    next: () => Promise<R>,
  ): Promise<R> => (await next()).enhance({ timeout: requestMs }),
})

/** A schema registry. What it does not answer is a retryable PROCLABEL_REGISTRY; no password is in any message. */
export class Registry {
  readonly #registry: InstanceType<typeof SchemaRegistry>
  readonly #url: string

  /** Throws PROCLABEL_CONFIG when a file of the settings cannot be read. */
  constructor({ url, caFile, username, passwordFile, ...given }: RegistrySettings) {
    this.#url = url
    const password = given.password ?? (passwordFile === undefined ? '' : readSecret('password', passwordFile))
    this.#registry = new SchemaRegistry({
      host: url.replace(/\/$/, ''),
      clientId: 'proclabel',
      retry: { retries: 0 },
      middlewares: [timeout as never],
      ...(username !== undefined && { auth: { username, password } }),
      ...(caFile !== undefined && { agent: new Agent({ ca: readSecret('authority', caFile), keepAlive: true }) }),
    })
  }

  /** The id under which `schema` is registered for `subject`; null when it is not. */
  idOf(subject: string, schema: string): Promise<number | null> {
    return this.#ask(async () => {
      try {
        return await this.#registry.getRegistryIdBySchema(subject, { type: SchemaType.AVRO, schema })
      } catch (error) {
        // Of "not found" the client makes an error of its own, without the status.
        if ((error as Error).name === 'ConfluentSchemaRegistryError') return null
        throw error
      }
    })
  }

  /** The text of the schema with this id; null when there is none. */
  async schema(id: number): Promise<string | null> {
    const response = await this.#ask(() => this.#orNull(() => this.#api.Schema.find({ id })))
    return response === null ? null : response.data().schema
  }

  /**
   * Registers `schema` for `subject` with BACKWARD_TRANSITIVE; does nothing where both are so. Throws PROCLABEL_REGISTRY
   * that is not retryable when the subject has another compatibility, or versions that `schema` cannot read.
   */
  async register(subject: string, schema: string): Promise<{ id: number; did: Registration }> {
    const id = await this.idOf(subject, schema)
    const level = await this.#compatibility(subject)
    // Apicurio says NONE of a subject without a rule of its own, where Confluent's registry says "not found"; the client
    // takes that for another compatibility and refuses to register.
    const isUnset = level === null || level === 'NONE'
    if (!isUnset && level !== compatibility) {
      const todo = `it must be ${compatibility}: set it there, or use a registry of its own`
      throw new InputError('PROCLABEL_REGISTRY', `subject ${subject} has compatibility ${level}; ${todo}`)
    }
    if (level === 'NONE' || (level === null && id !== null)) await this.#setCompatibility(subject)
    if (id !== null) return { id, did: isUnset ? 'compatibility-set' : 'unchanged' }
    const registered = await this.#ask(() =>
      this.#registry.register({ type: SchemaType.AVRO, schema }, { subject, compatibility }),
    )
    return { id: registered.id, did: 'registered' }
  }

  async #compatibility(subject: string): Promise<string | null> {
    const response = await this.#ask(() => this.#orNull(() => this.#api.Subject.config({ subject })))
    return response === null ? null : response.data().compatibilityLevel.toUpperCase()
  }

  async #setCompatibility(subject: string): Promise<void> {
    await this.#ask(() => this.#api.Subject.updateConfig({ subject, body: { compatibility } }))
  }

  /** The client's own requests: it offers no method for what is asked here alone. */
  get #api(): Api {
    return (this.#registry as unknown as { api: Api }).api
  }

  async #orNull<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      return await ask()
    } catch (error) {
      if ((error as { status?: number }).status === 404) return null
      throw error
    }
  }

  async #ask<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      const { status, message } = error as Error & { status?: number }
      if (status === 409 || status === 422) {
        throw new InputError('PROCLABEL_REGISTRY', `the schema registry at ${this.#url} refuses the schema: ${message}`)
      }
      const problem = `the schema registry at ${this.#url} does not answer: ${message}`
      throw new ProclabelError('PROCLABEL_REGISTRY', problem, { retryable: true })
    }
  }
}

function readSecret(what: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new InputError('PROCLABEL_CONFIG', `registry: the ${what} file ${file} cannot be read`, error)
  }
}
