import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'

const childHash = '/proc/sys/net/ipv4/tcp_child_ehash_entries'

/**
 * Runs this program again with `--inside`, in a fresh network namespace with loopback, so that only our sockets are in its table: once
 * with this machine's TCP hash, once with one of ordinary size. Needs root.
 */
export function runInNamespaces(file: string): void {
  const buckets = readFileSync('/proc/sys/net/ipv4/tcp_ehash_entries', 'utf8').trim()
  console.log(`this machine's TCP hash, ${buckets} buckets:`)
  runInNamespace(file, 0)
  console.log('a TCP hash of ordinary size, 4096 buckets:')
  runInNamespace(file, 4096)
}

/** 0 buckets: the machine's hash is shared. */
function runInNamespace(file: string, buckets: number): void {
  const before = readFileSync(childHash, 'utf8')
  writeFileSync(childHash, String(buckets))
  try {
    const up = 'ip link set lo up && exec "$@"'
    const again = [process.execPath, file, '--inside', ...process.argv.slice(2)]
    const { status } = spawnSync('unshare', ['--net', 'sh', '-c', up, 'sh', ...again], { stdio: 'inherit' })
    if (status !== 0) process.exitCode = 1
  } finally {
    writeFileSync(childHash, before)
  }
}
