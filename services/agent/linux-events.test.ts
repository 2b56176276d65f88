import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { linuxMechanisms, openLinuxEvents } from './linux-events.ts'

const skip = (() => {
  const { source, refusals } = openLinuxEvents()
  source?.close()
  return source?.mechanism === linuxMechanisms[0] ? false : `needs all rights: ${refusals.join()}`
})()

/** What a process without these capabilities opens, and why nothing better. */
function openWithout(...capabilities: string[]): { mechanism: string | null; refusals: string[] } {
  const module = new URL('linux-events.ts', import.meta.url).href
  const script = `const { source, refusals } = (await import('${module}')).openLinuxEvents();
    console.log(JSON.stringify({ mechanism: source?.mechanism ?? null, refusals })); source?.close()`
  const dropped = capabilities.map(name => `-${name}`).join()
  const { stdout, stderr } = spawnSync(
    'setpriv',
    [`--bounding-set=${dropped}`, `--inh-caps=${dropped}`, process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  )
  assert.notEqual(stdout, '', stderr)
  return JSON.parse(stdout)
}

test('the best mechanism is the one that the rights allow; why nothing better is told', { skip }, () => {
  assert.deepEqual(openWithout('sys_admin'), { mechanism: 'ebpf', refusals: [] })

  const traced = openWithout('sys_admin', 'bpf')
  assert.equal(traced.mechanism, 'tracepoint')
  assert.match(traced.refusals.join(), /^ebpf: cannot make a map for programs in the kernel: Operation not permitted$/)

  const none = openWithout('sys_admin', 'bpf', 'perfmon')
  assert.equal(none.mechanism, null)
  assert.match(none.refusals.join('\n'), /^ebpf: .*\ntracepoint: cannot .*$/)
})
