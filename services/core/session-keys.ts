import { getDomain } from 'tldts'
import type { SessionFacts } from './session-facts.ts'
import { sharedText } from './shared-text.ts'
import { tupleKey } from './tuple.ts'

export interface NameKey {
  key: string
  reason: string
  /** A JA4 fingerprint, which many programs share. */
  isGreeting: boolean
}

/** The keys of a session in the tables of the inferring stages, each built once: text is most of what a table costs. */
export interface SessionKeys {
  tuple: string
  /** Remote address and port. */
  remotePort: string
  /** What the session tells of its server, the most telling first; empty for sessions that the host did not open. */
  names: readonly NameKey[]
}

export function keysOf(facts: SessionFacts): SessionKeys {
  return {
    tuple: tupleKey(facts, facts.remoteIp, facts.remotePort),
    remotePort: sharedText(`${facts.remoteIp} ${facts.remotePort}`),
    names: nameKeys(facts),
  }
}

function nameKeys(facts: SessionFacts): readonly NameKey[] {
  const keys: NameKey[] = []
  if (facts.direction !== 'out') return keys
  if (facts.sni !== null) {
    keys.push({ key: `name ${facts.sni}`, reason: 'one program asks for the server name', isGreeting: false })
    const domain = getDomain(facts.sni)
    if (domain !== null)
      keys.push({ key: `domain ${domain}`, reason: 'one program asks for the domain', isGreeting: false })
  }
  if (facts.ja4 !== null) {
    keys.push({ key: `ja4 ${facts.ja4} ${facts.remotePort}`, reason: 'one program greets like this', isGreeting: true })
  }
  return keys
}
