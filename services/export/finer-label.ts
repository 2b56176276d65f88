import { getDomain } from 'tldts'
import type { LabeledSession } from '#schemas'

export interface FinerLabel {
  /** Registrable domain of the server, for browsers and programs built on one; null for others. */
  site: string | null
  /** The application that the executable belongs to, by where it lies, else the program that started it; null where neither tells. */
  application: string | null
  /** The process, and what tells its sessions apart: `svchost.exe/Dnscache`, `chrome.exe/example.org`; null without a label. */
  label: string | null
}

/** Programs whose traffic is that of the sites they show: browsers, and the frames that applications are built in. */
const showsSites =
  /^(chrome|chromium|google chrome|msedge|microsoft edge|firefox|firefox-bin|firefox-esr|brave|brave-browser|opera|vivaldi|iexplore|safari|msedgewebview2|webkitnetworkprocess|cefsharp\.browsersubprocess|electron|code|slack|teams|ms-teams|discord|spotify)(\.exe)?$/i

/** Programs that start whatever they are told to: systems and their services, shells, remote logins, runtimes of containers. */
const startsAnything =
  /^(systemd|init|launchd|runit|s6-supervise|supervisord|cron|crond|atd|sshd|sshd-session|login|su|sudo|doas|tmux(: server)?|screen|sh|bash|dash|zsh|fish|ksh|busybox|env|xargs|timeout|containerd-shim.*|dockerd|conmon|runc|tini|dumb-init|gnome-shell|plasmashell|services|svchost|wininit|winlogon|userinit|explorer|cmd|powershell|pwsh|conhost|taskeng|taskhostw|windowsterminal|runtimebroker)(\.exe)?$/i

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
  const { process, path, service, container_id, container_image, pod, parent } = label
  const name = sni ?? dns_name
  const site = name !== null && showsSites.test(process) ? domainOf(name) : null
  const detail = hostsServices.test(process)
    ? service
    : (site ?? container_image ?? pod ?? container_id?.slice(0, 12) ?? null)
  return {
    site,
    application: (path === null ? null : applicationOf(path)) ?? applicationOfParent(parent),
    label: detail === null ? process : `${process}/${detail}`,
  }
}

const applicationOfParent = (parent: string | null): string | null =>
  parent === null || startsAnything.test(parent) ? null : parent

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
