import { sharedText } from './shared-text.ts'

/** The local end of a socket or session. */
export interface LocalEnd {
  proto: string
  localIp: string
  localPort: number
}

/** The 5-tuple seen from the host, as a map key. */
export function tupleKey(local: LocalEnd, remoteIp: string, remotePort: number): string {
  return sharedText(`${local.proto} ${local.localIp} ${local.localPort} ${remoteIp} ${remotePort}`)
}
