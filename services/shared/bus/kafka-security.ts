import { readFileSync } from 'node:fs'
import type { KafkaConfig } from 'kafkajs'
import { ProclabelError } from '../errors.ts'

/** How to speak to the brokers; secrets lie in files. All absent means plain text. */
export interface KafkaSecurity {
  /** Encrypt; true as soon as one of the files is given. Without `caFile` the system's authorities count. */
  tls?: boolean
  /** The authority that signed the brokers' certificates, PEM. */
  caFile?: string
  /** This client's certificate and its key, PEM, for mutual TLS. */
  certFile?: string
  keyFile?: string
  /** SASL SCRAM-SHA-512. */
  username?: string
  passwordFile?: string
  /** Instead of the file, from the environment. */
  password?: string
}

/** Reads the files; throws PROCLABEL_CONFIG that names what is missing or cannot be read. */
export function readSecurity(security: KafkaSecurity): Pick<KafkaConfig, 'ssl' | 'sasl'> {
  const { caFile, certFile, keyFile, username, passwordFile } = security
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new ProclabelError('PROCLABEL_CONFIG', 'Kafka: a client certificate and its key must be given together')
  const hasPassword = (security.password ?? passwordFile) !== undefined
  if ((username !== undefined) !== hasPassword)
    throw new ProclabelError('PROCLABEL_CONFIG', 'Kafka: a user and its password must be given together')
  const result: Pick<KafkaConfig, 'ssl' | 'sasl'> = {}
  if (security.tls || caFile !== undefined || certFile !== undefined) {
    result.ssl = {
      ...(caFile === undefined ? {} : { ca: [readSecret('authority', caFile)] }),
      ...(certFile === undefined ? {} : { cert: readSecret('certificate', certFile) }),
      ...(keyFile === undefined ? {} : { key: readSecret('key', keyFile) }),
    }
  }
  if (username !== undefined) {
    const password = security.password ?? readSecret('password', passwordFile!)
    result.sasl = { mechanism: 'scram-sha-512', username, password }
  }
  return result
}

/** Without the newline that editors leave at the end. */
function readSecret(what: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw new ProclabelError('PROCLABEL_CONFIG', `Kafka: the ${what} file ${file} cannot be read`, { cause })
  }
}
