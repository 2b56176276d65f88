import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'

const days = '30'

export interface Certificate {
  certFile: string
  keyFile: string
}

/** A certificate authority of the stack's own; everything it makes lies in `folder` and is gone with the stack. */
export class CertificateAuthority {
  readonly caFile: string
  readonly #folder: string
  readonly #keyFile: string

  constructor(folder: string) {
    this.#folder = folder
    this.caFile = `${folder}/ca.pem`
    this.#keyFile = `${folder}/ca.key`
    this.#newKey(this.#keyFile)
    openssl(
      'req',
      '-x509',
      '-new',
      '-key',
      this.#keyFile,
      '-subj',
      '/CN=proclabel stack',
      '-days',
      days,
      '-out',
      this.caFile,
    )
  }

  /** A certificate for a server on loopback, or for a client by its name. */
  issue(name: string): Certificate {
    const certFile = `${this.#folder}/${name}.pem`
    const keyFile = `${this.#folder}/${name}.key`
    const request = `${this.#folder}/${name}.csr`
    const extensions = `${this.#folder}/${name}.ext`
    this.#newKey(keyFile)
    openssl('req', '-new', '-key', keyFile, '-subj', `/CN=${name}`, '-out', request)
    writeFileSync(extensions, 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n')
    const signing = ['-CA', this.caFile, '-CAkey', this.#keyFile, '-CAcreateserial', '-days', days]
    openssl('x509', '-req', '-in', request, ...signing, '-extfile', extensions, '-out', certFile)
    return { certFile, keyFile }
  }

  #newKey(file: string): void {
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', file)
  }
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
