/** A broken world, not a bad record: broker gone, disk full, addon missing. */
export class ProclabelError extends Error {
  /** One of the codes in services/README.md. */
  readonly code: string
  /** Whether trying again later may help. */
  readonly retryable: boolean

  constructor(code: string, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = this.constructor.name
    this.code = code
    this.retryable = options.retryable ?? false
  }
}

/** What the user gave cannot be used: the message is one sentence that names what is wrong and what to do. */
export class InputError extends ProclabelError {
  constructor(code: string, message: string, cause?: unknown) {
    super(code, message, { cause })
  }
}
