import { randomUUID } from 'node:crypto'
import process from 'node:process'
import { Command, InvalidArgumentError } from 'commander'
import ipaddr from 'ipaddr.js'
import type { LabeledSession } from '#schemas'
import { exitCodes } from '#shared/exit-codes.ts'
import { readToEnd } from '../export/read-sessions.ts'
import { print } from './print.ts'
import { readSessions } from './read-json-lines.ts'
import { clientOptions, needsBrokers, runService, type ServiceFlags, withoutBrokers } from './run-service.ts'
import { timeOf } from './time-of.ts'

interface End {
  ip: string
  port: number
}

export interface Question {
  proto: string
  local: End
  remote: End
  timeUs: number
}

export const whoCommand = (): Command =>
  withoutBrokers(clientOptions(new Command('who')))
    .description('tells who owned a 5-tuple at a moment, with the evidence')
    .argument('<proto>', 'tcp or udp')
    .argument('<local>', 'address and port of one end, such as 10.0.0.1:50000 or [2001:db8::1]:443', endOf)
    .argument('<remote>', 'of the other; either may be the host', endOf)
    .argument('<time>', 'ISO 8601, such as 2026-11-25T17:00:00Z', timeOf)
    .argument('[file]', 'labeled sessions as JSON lines; without it, those that Kafka holds')
    .action(
      async (proto: string, local: End, remote: End, timeUs: number, file: string | undefined, flags: ServiceFlags) => {
        const found = new Answers({ proto, local, remote, timeUs })
        if (file === undefined)
          return runService('who', needsBrokers(flags), async parts => {
            const reading = { ...parts, group: `tail-who-${randomUUID()}`, onDamaged: () => {} }
            for await (const session of readToEnd(reading)) found.add(session)
            await found.tell()
          })
        for await (const session of readSessions(file)) if (session !== null) found.add(session)
        await found.tell()
      },
    )

/** Sessions of a 5-tuple by their latest revision. */
export class Answers {
  readonly #question: Question
  readonly #sessions = new Map<string, LabeledSession>()

  constructor(question: Question) {
    this.#question = question
  }

  add(session: LabeledSession): void {
    const { proto, local, remote } = this.#question
    const isLocal = ({ ip, port }: End) => session.local_ip === ip && session.local_port === port
    const isRemote = ({ ip, port }: End) => session.remote_ip === ip && session.remote_port === port
    const fits =
      session.proto === proto && ((isLocal(local) && isRemote(remote)) || (isLocal(remote) && isRemote(local)))
    if (fits && (this.#sessions.get(session.session_id)?.revision ?? -1) <= session.revision)
      this.#sessions.set(session.session_id, session)
  }

  /** Those that cover the moment. */
  get covering(): LabeledSession[] {
    const { timeUs } = this.#question
    return [...this.#sessions.values()].filter(({ first_us, last_us }) => first_us <= timeUs && timeUs <= last_us)
  }

  /** On standard output; exit status 4 when nothing is known of that moment. */
  async tell(): Promise<void> {
    const { covering } = this
    if (covering.length > 0) return print(covering.map(session => `${answerText(session)}\n`).join(''))
    const others = [...this.#sessions.values()].map(({ first_us, last_us }) => `${iso(first_us)} to ${iso(last_us)}`)
    const known = others.length === 0 ? 'none at any time' : others.join(', ')
    await print(`no session of this 5-tuple at ${iso(this.#question.timeUs)}; there is ${known}\n`)
    process.exitCode = exitCodes.unfitInputs
  }
}

/** `curl (pid 7) on desk, by stage A: one owner`, then each piece of the evidence in a line of its own. */
export function answerText(session: LabeledSession): string {
  const { label, host_id, stage, confidence, unknown_cause, evidence, first_us, last_us, session_id } = session
  const { reason, candidates, ...rest } = evidence
  const pid = label?.pid == null ? '' : ` (pid ${label.pid})`
  const who = label === null ? `unknown, ${unknown_cause ?? 'not judged'}` : `${label.process}${pid}`
  const by = stage === null ? '' : `, by stage ${stage}`
  const details = {
    ...{ session: session_id, from: iso(first_us), to: iso(last_us), path: label?.path, service: label?.service },
    ...{ container_image: label?.container_image, parent: label?.parent },
    ...{ precision_at_least: confidence, ...rest, candidates: candidates.join(', ') || null },
  }
  const lines = Object.entries(details).flatMap(([name, value]) => {
    if (value === null || value === undefined) return []
    return `  ${name.replace(/_us$/, '')}  ${/^owned/.test(name) ? iso(Number(value)) : value}`
  })
  return [`${who} on ${host_id ?? 'no monitored host'}${by}: ${reason}`, ...lines].join('\n')
}

const iso = (us: number): string =>
  `${new Date(us / 1000).toISOString().slice(0, -1)}${String(us % 1000).padStart(3, '0')}Z`

function endOf(text: string): End {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text)
  const ip = found?.[1] ?? found?.[2] ?? ''
  const port = Number(found?.[3])
  if (!ipaddr.isValid(ip) || port > 65_535)
    throw new InvalidArgumentError('expected an address and a port, such as 10.0.0.1:50000 or [2001:db8::1]:443.')
  return { ip: ipaddr.parse(ip).toString(), port }
}
