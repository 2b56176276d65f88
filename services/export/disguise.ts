import { createHmac, hkdfSync } from 'node:crypto'
import type { LabeledSession } from '#schemas'
import { CryptoPan } from './crypto-pan.ts'

/** What becomes of names: server names, names of hosts in the DNS. */
export const nameFates = ['keep', 'hash', 'drop'] as const

export interface Privacy {
  /** 32 bytes; null: addresses, hosts and ids stay. */
  key: Uint8Array | null
  names: (typeof nameFates)[number]
  /** Paths of executables, which hold names of users. */
  dropPaths: boolean
}

/** Fields that stay as they are whatever is asked for: what a dataset is for. */
const remains = [
  ...['proto', 'ports', 'times', 'packets and bytes', 'TCP flags', 'splt', 'process', 'pid', 'process_start_us'],
  ...['service', 'container_image', 'parent', 'stage', 'confidence', 'evidence', 'alpn', 'ja4', 'vlan'],
]

/** For the manifest: what was done, and what is still to be seen. The key is told of by a fingerprint alone. */
export function privacyText({ key, names, dropPaths }: Privacy): Record<string, unknown> {
  const ids = key === null ? 'kept' : 'HMAC-SHA-256, first 128 bits'
  return {
    addresses: key === null ? 'kept' : 'Crypto-PAn',
    ...(key && { key_fingerprint: createHmac('sha256', key).update('fingerprint').digest('hex').slice(0, 16) }),
    hosts_and_ids: ids,
    community_id: key === null ? 'kept' : 'dropped',
    names: { keep: 'kept', hash: 'HMAC-SHA-256, first 128 bits', drop: 'dropped' }[names],
    paths: dropPaths ? 'dropped' : 'kept',
    users: 'never held',
    payload: 'only where columns has it',
    remains,
  }
}

/**
 * Sessions as they may be given away. One key gives one pseudonym throughout, so that datasets made with it can be joined;
 * each kind of value has a key of its own, derived from it. Names need a key to be hashed.
 */
export function disguiseWith({
  key,
  names,
  dropPaths,
}: Privacy): <Session extends Omit<LabeledSession, 'splt'>>(session: Session) => Session {
  if (key === null && names === 'keep' && !dropPaths) return session => session
  const pan = key && new CryptoPan(key)
  const ip = (address: string) => pan?.pseudonym(address) ?? address
  const id = hashed(key, 'id')
  const host = hashed(key, 'host')
  const hashedName = hashed(key, 'name')
  const name = (text: string | null) =>
    names === 'keep' || text === null ? text : names === 'drop' ? null : hashedName(text)
  const site = hashed(key, 'container')
  return session => {
    const { tunnel, label } = session
    return {
      ...session,
      session_id: id(session.session_id),
      peer_session_id: session.peer_session_id && id(session.peer_session_id),
      host_id: session.host_id && host(session.host_id),
      local_ip: ip(session.local_ip),
      remote_ip: ip(session.remote_ip),
      community_id: pan ? null : session.community_id,
      tunnel: tunnel && { ...tunnel, source: ip(tunnel.source), destination: ip(tunnel.destination) },
      sni: name(session.sni),
      dns_name: name(session.dns_name),
      label: label && {
        ...label,
        path: dropPaths ? null : label.path,
        container_id: label.container_id && site(label.container_id),
        pod: label.pod && site(label.pod),
      },
    }
  }
}

/** Answers with the text itself without a key. */
function hashed(key: Uint8Array | null, kind: string): (text: string) => string {
  if (key === null) return text => text
  const own = Buffer.from(hkdfSync('sha256', key, '', `proclabel ${kind}`, 32))
  return text => createHmac('sha256', own).update(text).digest('hex').slice(0, 32)
}
