import { getDomain } from 'tldts'
import type { Label } from '#schemas'
import { defaultConstants, type MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import { ProgramCounts } from '../program-counts.ts'
import type { SessionFacts } from '../session-facts.ts'

/**
 * Stage N, in post-processing: which program asks for a server name, for a registrable domain, or greets with this JA4 on this
 * port. One table per host, and one that all hosts share.
 */
export class ServerNames {
  readonly #counts: ProgramCounts
  readonly #constants: MatchConstants

  constructor(constants: MatchConstants = defaultConstants) {
    this.#constants = constants
    this.#counts = new ProgramCounts(constants.tableEntries, constants.nameTtlUs, constants.processesPerKey)
  }

  learn(facts: SessionFacts, label: Label): void {
    if (facts.direction !== 'out') return
    for (const [key] of keysOf(facts)) this.#counts.add(key, label, facts.firstUs)
  }

  infer(facts: SessionFacts): Inference | null {
    if (facts.direction !== 'out') return null
    const { nameSessions, nameShare } = this.#constants
    for (const [key, reason] of keysOf(facts)) {
      const found = this.#counts.dominant(key, facts.firstUs, nameSessions, nameShare, reason)
      if (found) return found
    }
    return null
  }

  expire(nowUs: number): void {
    this.#counts.expire(nowUs)
  }
}

/** Keys with their reasons, the most telling first. */
function keysOf(facts: SessionFacts): [key: string, reason: string][] {
  const keys: [string, string][] = []
  if (facts.sni !== null) {
    keys.push([`name ${facts.sni}`, 'one program asks for the server name'])
    const domain = getDomain(facts.sni)
    if (domain !== null) keys.push([`domain ${domain}`, 'one program asks for the domain'])
  }
  if (facts.ja4 !== null) keys.push([`ja4 ${facts.ja4} ${facts.remotePort}`, 'one program greets like this'])
  return keys
}
