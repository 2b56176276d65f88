import type { Command } from 'commander'

/**
 * The commands by name. Loaded as needed: the clients of Kafka and Redis take longer to load than a small capture to label.
 */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  label: async () => (await import('./label.ts')).labelCommand(),
  annotate: async () => (await import('./annotate.ts')).annotateCommand(),
  record: async () => (await import('./record.ts')).recordCommand(),
  live: async () => (await import('./live.ts')).liveCommand(),
  report: async () => (await import('./report.ts')).reportCommand(),
  who: async () => (await import('./who.ts')).whoCommand(),
  score: async () => (await import('./score.ts')).scoreCommand(),
  agent: async () => (await import('./agent.ts')).agentCommand(),
  import: async () => (await import('./import.ts')).importCommand(),
  capture: async () => (await import('./capture.ts')).captureCommand(),
  matcher: async () => (await import('./matcher.ts')).matcherCommand(),
  resolver: async () => (await import('./resolver.ts')).resolverCommand(),
  export: async () => (await import('./export.ts')).exportCommand(),
  replay: async () => (await import('./replay.ts')).replayCommand(),
  doctor: async () => (await import('./doctor.ts')).doctorCommand(),
  tail: async () => (await import('./tail.ts')).tailCommand(),
  topics: async () => (await import('./topics.ts')).topicsCommand(),
}
