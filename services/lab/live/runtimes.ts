import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { worldAddress } from '../../e2e/lab/network.ts'
import type { Program } from '../../e2e/lab/programs.ts'
import { type Kind, names, type Place } from './place.ts'

/** Of the world, with an HTTP/3 server. */
export const quicAddresses = Array.from({ length: 12 }, (_, i) => [
  worldAddress(4, i + 1),
  worldAddress(6, i + 1),
]).flat()

export const quicScript = fileURLToPath(new URL('quic.py', import.meta.url))

/** Each on a connection of its own. */
const urls = ({ random }: Place, scheme: string, count: number): string[] =>
  Array.from({ length: count }, () => {
    const ms = Math.round(Math.min(3000, random.logNormal(100, 1)))
    return `${scheme}://${random.pick(names)}/ms=${ms}/${random.below(1e6)}`
  })

/** A page whose pictures come from many servers. */
const page = (place: Place, scheme: string): string =>
  `data:text/html,${urls(place, scheme, 10 + place.random.below(40))
    .map(url => `<img src=${url}>`)
    .join('')}`

/** Of a browser that starts afresh. */
function profile({ folder, random }: Place): string {
  const made = `${folder}/profiles/${random.below(1e9)}`
  mkdirSync(made)
  return made
}

export const chromiumFlags = ['--headless', '--no-sandbox', '--disable-gpu', '--ignore-certificate-errors']

export const chromium = (place: Place, ...args: string[]): Program => ({
  command: place.commands.chromium!,
  args: [...chromiumFlags, `--user-data-dir=${profile(place)}`, ...args],
})

const javaFlags = [
  ...['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Djdk.internal.httpclient.disableHostnameVerification=true'],
  fileURLToPath(new URL('Requests.java', import.meta.url)),
]

export const java = ({ commands }: Place, pauseMs: number, ...pages: string[]): Program => ({
  command: commands.java!,
  args: [...javaFlags, String(pauseMs), ...pages],
})

/** Asks by HTTP/3, each time over a connection of its own. */
export const quic = ({ commands, random }: Place, ms: number, count: number, pauseMs: number): Program => ({
  command: commands.quic!,
  args: [quicScript, 'ask', random.pick(quicAddresses), random.pick(names), ...[ms, count, pauseMs].map(String)],
})

/** Programs that bring a runtime of their own, and open many connections for each start. */
export const runtimes: readonly Kind[] = [
  {
    name: 'chromium',
    weight: 1,
    needs: 'chromium',
    program: place => chromium(place, '--dump-dom', page(place, place.random.chance(0.7) ? 'https' : 'http')),
  },
  {
    name: 'firefox',
    weight: 0.4,
    needs: 'firefox',
    program: place => {
      const folder = profile(place)
      const args = ['--headless', '--no-remote', '--profile', folder, '--screenshot', `${folder}.png`]
      return { command: place.commands.firefox!, args: [...args, page(place, 'http')] }
    },
  },
  {
    name: 'java',
    weight: 0.7,
    needs: 'java',
    program: place => java(place, place.random.below(200), ...urls(place, 'https', 8 + place.random.below(16))),
  },
  {
    name: 'QUIC',
    weight: 1.5,
    needs: 'quic',
    program: place =>
      quic(place, Math.round(Math.min(5000, place.random.logNormal(120, 1))), 4 + place.random.below(8), 50),
  },
]
