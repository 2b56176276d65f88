import { getDomain } from 'tldts'
import type { LabeledSession } from '#schemas'

export interface FinerLabel {
  /** Registrable domain of the server, for browsers and programs built on one; null for others. */
  site: string | null
  /** The application that the executable belongs to, by where it lies; null where its path does not tell. */
  application: string | null
  /** The process, and what tells its sessions apart: `svchost.exe/Dnscache`, `chrome.exe/example.org`; null without a label. */
  label: string | null
}

/** Programs whose traffic is that of the sites they show: browsers, and the frames that applications are built in. */
const showsSites =
  /^(chrome|chromium|google chrome|msedge|microsoft edge|firefox|firefox-bin|firefox-esr|brave|brave-browser|opera|vivaldi|iexplore|safari|msedgewebview2|webkitnetworkprocess|cefsharp\.browsersubprocess|electron|code|slack|teams|ms-teams|discord|spotify)(\.exe)?$/i

/** A process that hosts services of the system under one name. */
const hostsServices = /^(svchost|services|dllhost|taskhostw)\.exe$/i

/**
 * Where installed applications lie, one group for the application each. Stores: Microsoft's packages (name before version and
 * publisher), snap, Flatpak. Then bundles of macOS, Program Files (vendor and product), a user's own programs, /opt.
 */
const placesOfApplications: readonly RegExp[] = [
  /\\WindowsApps\\([^\\_]+)_[^\\]*\\/i,
  /^\/snap\/([^/]+)\//,
  /\/(?:flatpak\/app|\.var\/app)\/([^/]+)\//,
  /\/([^/]+)\.app\//,
  /^[a-z]:\\Program Files(?: \(x86\))?\\([^\\]+(?:\\(?!Application\\|bin\\)[^\\]+)?)\\/i,
  /\\AppData\\(?:Local|Roaming)\\(?:Programs\\)?([^\\]+)\\/i,
  /^\/opt\/([^/]+(?:\/(?!bin\/)[^/]+(?=\/))?)\//,
]

/** Finer than the process, beside it. */
export function finerLabel({ label, sni, dns_name }: Pick<LabeledSession, 'label' | 'sni' | 'dns_name'>): FinerLabel {
  if (label === null) return nothing
  const { process, path, service, container_id, pod } = label
  const name = sni ?? dns_name
  const site = name !== null && showsSites.test(process) ? domainOf(name) : null
  const detail = hostsServices.test(process) ? service : (site ?? pod ?? container_id?.slice(0, 12) ?? null)
  return {
    site,
    application: path === null ? null : applicationOf(path),
    label: detail === null ? process : `${process}/${detail}`,
  }
}

const nothing: FinerLabel = { site: null, application: null, label: null }

/** Both ask the same again and again. */
const domainOf = remembered(getDomain)
const applicationOf = remembered(path => {
  for (const place of placesOfApplications) {
    const found = place.exec(path)?.[1]
    if (found) return found.replaceAll(/[\\/]/g, ' ')
  }
  return null
})

function remembered(ask: (text: string) => string | null): (text: string) => string | null {
  const answers = new Map<string, string | null>()
  return text => {
    const known = answers.get(text)
    if (known !== undefined) return known
    const answer = ask(text)
    if (answers.size === 10_000) answers.clear()
    answers.set(text, answer)
    return answer
  }
}
