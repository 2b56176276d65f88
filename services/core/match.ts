import type { Direction, DirectionEvidence, Evidence, Label, Stage } from '#schemas'
import type { InferringStage } from './confidence.ts'
import { type Inference, programOf } from './program.ts'
import type { SessionFacts } from './session-facts.ts'
import { type Candidate, type DirectMatch, isByRemoteEnd, isExact, isInside, qualityName } from './stages/direct.ts'
import type { UnknownCause } from './unknown-cause.ts'

/** What is decided about a session: the label or the cause of having none, and why. */
export interface Decision {
  label: Label | null
  stage: Stage | null
  confidence: number | null
  /** Nothing more can change it. */
  final: boolean
  unknownCause: UnknownCause | null
  evidence: Evidence
  /** Socket data is missing for a part of the session. */
  agentGap: boolean
  /** Better known from the socket than from the packets; null where it is not. */
  direction: { direction: Direction; by: DirectionEvidence } | null
}

const noEvidence: Evidence = Object.freeze({
  reason: '',
  source: null,
  quality: null,
  owned_from_us: null,
  owned_until_us: null,
  clock_offset_us: null,
  support: null,
  share: null,
  candidates: [],
})

const noDecision: Omit<Decision, 'evidence'> = Object.freeze({
  label: null,
  stage: null,
  confidence: null,
  final: false,
  unknownCause: null,
  agentGap: false,
  direction: null,
})

/** Stage A found one owner. */
export function decideDirect(
  facts: SessionFacts,
  match: Extract<DirectMatch, { kind: 'owner' }>,
  offsetUs: number | null,
): Decision {
  const { best, label, handedOver } = match
  const reason = handedOver ? 'listener of this port gives its connections to others' : directReason(best, label)
  return {
    ...noDecision,
    label,
    stage: 'A',
    final: isExact(best) && isInside(best) && offsetUs !== null,
    evidence: { ...directEvidence(best, offsetUs), reason },
    direction: directionOf(facts, best),
  }
}

/** Stage A found several owners, none better than the others. */
export function decideAmbiguous(match: Extract<DirectMatch, { kind: 'ambiguous' }>, offsetUs: number | null): Decision {
  return {
    ...noDecision,
    unknownCause: 'ambiguous',
    evidence: {
      ...directEvidence(match.best, offsetUs),
      reason: 'several owners of equal quality',
      candidates: match.owners.map(owner => `${owner.process}:${owner.pid}`),
    },
  }
}

export function decideInferred(stage: InferringStage, found: Inference, confidence: number | null): Decision {
  const { label, reason, support, share } = found
  return {
    ...noDecision,
    label: programOf(label),
    stage,
    confidence,
    evidence: { ...noEvidence, reason, support, share },
  }
}

export function decideUnknown(cause: UnknownCause, reason: string): Decision {
  return { ...noDecision, unknownCause: cause, evidence: { ...noEvidence, reason } }
}

/** For hosts without any socket data. */
export function noAgentDecision(facts: Pick<SessionFacts, 'proto'>): Decision {
  return isTcpOrUdp(facts) ? decideUnknown('no-agent', 'host has no socket data') : notTcpUdpDecision
}

/** Sockets are of TCP and UDP. */
export const notTcpUdpDecision: Decision = Object.freeze({
  ...decideUnknown('not-tcp-udp', 'protocol has no sockets'),
  final: true,
})

export function isTcpOrUdp(facts: Pick<SessionFacts, 'proto'>): boolean {
  return facts.proto === 'tcp' || facts.proto === 'udp'
}

function directEvidence({ interval, ...candidate }: Candidate, offsetUs: number | null): Omit<Evidence, 'reason'> {
  return {
    ...noEvidence,
    source: interval.source,
    quality: qualityName({ interval, ...candidate }),
    owned_from_us: interval.from.highUs,
    owned_until_us: interval.until?.lowUs ?? null,
    clock_offset_us: offsetUs,
  }
}

function directReason(best: Candidate, label: Label): string {
  if (label.pid === null) return 'all owners run one program'
  if (isByRemoteEnd(best)) return 'opened to this remote end at that time'
  if (!isInside(best)) return 'nearest owner before'
  return isExact(best) ? 'socket of this 5-tuple' : 'socket bound to this port'
}

function directionOf(facts: SessionFacts, { interval }: Candidate): Decision['direction'] {
  if (facts.directionBy === 'syn') return null
  if (interval.role === 'connect') return { direction: 'out', by: 'event' }
  if (interval.role === 'accept') return { direction: 'in', by: 'event' }
  return interval.role === 'listen' ? { direction: 'in', by: 'listener' } : null
}
