import { registryJar } from './downloads.ts'
import type { NewPart, Part } from './part.ts'
import { freePort } from './ports.ts'

export interface RegistryStack {
  /** Base address of the Confluent-compatible API. */
  url: string
  node: Part
}

/** Starts a schema registry that keeps its schemas in memory: after a restart it is empty. */
export async function startRegistry(folder: string, newPart: NewPart): Promise<RegistryStack> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  const settings = {
    'quarkus.http.host': '127.0.0.1',
    'quarkus.http.port': port,
    'apicurio.datasource.jdbc.min-size': 1,
    'apicurio.datasource.jdbc.initial-size': 1,
  }
  const node = newPart({
    name: 'registry',
    command: 'java',
    args: [
      ...['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xms64m', '-Xmx384m'],
      ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`),
      ...['-jar', await registryJar()],
    ],
    logFile: `${folder}/registry.log`,
    isReady: async () => {
      try {
        return (await fetch(`${url}/subjects`)).ok
      } catch {
        return false
      }
    },
  })
  await node.start()
  return { url, node }
}
