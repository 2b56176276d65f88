import { debianCommand, pythonTools } from '../../deploy/tools.ts'

/** Programs that few machines have. The lab brings them; where one cannot be had it runs without it, and says so. */
export const equipment = {
  chromium: () => debianCommand('chromium'),
  firefox: () => debianCommand('firefox-esr'),
  /** With the compiler, that runs a source file as it is. */
  java: async () => (await debianCommand('javac', 'default-jdk-headless')).replace(/c$/, ''),
  dnsmasq: () => debianCommand('dnsmasq', 'dnsmasq-base'),
  /** A Python that has aioquic. */
  quic: async () => `${await pythonTools('aioquic==1.7.2')}/python3`,
} as const satisfies Record<string, () => Promise<string>>

export type Tool = keyof typeof equipment

/** Commands by what they are; what is missing, with the reason. */
export interface Equipped {
  commands: Partial<Record<Tool, string>>
  missing: Partial<Record<Tool, string>>
}

export async function equip(): Promise<Equipped> {
  const equipped: Equipped = { commands: {}, missing: {} }
  for (const [tool, bring] of Object.entries(equipment) as [Tool, () => Promise<string>][]) {
    try {
      equipped.commands[tool] = await bring()
    } catch (error) {
      equipped.missing[tool] = (error as Error).message.split('\n')[0]!
    }
  }
  return equipped
}
