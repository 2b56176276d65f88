import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sessionOf } from '#shared/session-fixture.ts'
import { finerLabel } from './finer-label.ts'

const none = {
  process: 'x',
  pid: 1,
  process_start_us: null,
  path: null,
  service: null,
  container_id: null,
  pod: null,
  container_image: null,
  parent: null,
}
const of = (label: Partial<typeof none> | object, session: object = {}) =>
  finerLabel(sessionOf({ label: { ...none, ...label }, ...session }))

test('shared service hosts are told apart by their services, browsers by the site', () => {
  assert.equal(of({ process: 'svchost.exe', service: 'Dnscache' }).label, 'svchost.exe/Dnscache')
  assert.equal(of({ process: 'svchost.exe' }).label, 'svchost.exe')
  const browser = of({ process: 'chrome.exe' }, { sni: 'a.b.example.co.uk' })
  assert.deepEqual([browser.site, browser.label], ['example.co.uk', 'chrome.exe/example.co.uk'])
  assert.equal(of({ process: 'msedgewebview2.exe' }, { dns_name: 'x.example.org' }).site, 'example.org')
  const other = of({ process: 'curl' }, { sni: 'a.example.org' })
  assert.deepEqual([other.site, other.label], [null, 'curl'])
  const container_id = '0123456789abcdef'
  assert.equal(of({ process: 'nginx', container_id }).label, 'nginx/0123456789ab')
  assert.equal(of({ process: 'nginx', container_id, pod: 'shop/web-0' }).label, 'nginx/shop/web-0')
  const container_image = 'docker.io/library/nginx:1.27'
  assert.equal(of({ process: 'nginx', container_id, container_image }).label, `nginx/${container_image}`)
  assert.deepEqual(finerLabel(sessionOf({ label: null })), { site: null, application: null, label: null })
})

test('a process whose path tells no application is of the program that started it, unless that starts anything', () => {
  assert.equal(
    of({ process: 'git-remote-https', path: '/usr/lib/git-core/git-remote-http', parent: 'git' }).application,
    'git',
  )
  assert.equal(of({ path: '/snap/firefox/3779/usr/lib/firefox/firefox', parent: 'code' }).application, 'firefox')
  for (const parent of ['bash', 'systemd', 'containerd-shim-runc-v2', 'explorer.exe', 'services.exe', null])
    assert.equal(of({ path: '/usr/bin/curl', parent }).application, null)
})

const places = {
  'C:\\Program Files\\WindowsApps\\Microsoft.WindowsStore_22311.1_x64__8wekyb3d8bbwe\\WinStore.App.exe':
    'Microsoft.WindowsStore',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe': 'Google Chrome',
  'C:\\Program Files (x86)\\Steam\\steam.exe': 'Steam',
  'C:\\Users\\alice\\AppData\\Local\\Discord\\app-1.0.9\\Discord.exe': 'Discord',
  'C:\\Users\\alice\\AppData\\Local\\Programs\\Microsoft VS Code\\Code.exe': 'Microsoft VS Code',
  'C:\\Windows\\System32\\svchost.exe': null,
  '/snap/firefox/3779/usr/lib/firefox/firefox': 'firefox',
  '/Applications/Slack.app/Contents/MacOS/Slack': 'Slack',
  '/opt/google/chrome/chrome': 'google chrome',
  '/opt/zoom/zoom': 'zoom',
  '/usr/bin/curl': null,
}

for (const [path, application] of Object.entries(places))
  test(`${path} belongs to ${application}`, () => assert.equal(of({ path }).application, application))
