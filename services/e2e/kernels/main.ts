/**
 * Kernel events on other kernels: boots each in QEMU, without hardware help, on the files of this machine (read only, written over
 * in memory) and runs the tests of kernel events there, short connections among them.
 *
 * `node services/e2e/kernels/main.ts PACKAGE.deb...`: Debian's packages of kernels, each with its modules (`linux-image-*`; since
 * Linux 7.0 `linux-binary-*` and `linux-modules-*`). Needs root, qemu-system-x86, busybox-static, cpio, kmod and xz-utils. Exit code 1
 * where a test failed.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const tests = ['services/agent/linux-events.test.ts', 'services/e2e/short-connections.e2e.test.ts']
/** Emulated, everything takes some ten times as long. */
const shortConnections = 200
const limitMs = 900_000

/** To mount the machine's files, and what the tests use of the network. */
const bootModules = ['virtio_pci', '9pnet_virtio', '9p', 'overlay']
const testModules = ['bridge', 'veth', 'tcp_diag', 'udp_diag', 'af_packet']

/** The modules of one kernel, uncompressed, in the order in which they are to be loaded. */
function copyModules(kernels: string, version: string, folder: string): string[] {
  const names: string[] = []
  for (const module of bootModules) {
    const args = ['-d', kernels, '-S', version, '--show-depends', module]
    for (const [, file] of execFileSync('modprobe', args, { encoding: 'utf8' }).matchAll(/^insmod (\S+)/gm)) {
      const packed = path.basename(file!)
      const name = packed.replace(/\.xz$/, '')
      if (names.includes(name)) continue
      copyFileSync(file!, path.join(folder, packed))
      if (packed !== name) execFileSync('xz', ['-d', path.join(folder, packed)])
      names.push(name)
    }
  }
  return names
}

/** The first program: mounts, loads, runs the tests and switches off. */
const init = (modules: readonly string[], kernels: string) => `#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox --install -s /bin
mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in ${modules.join(' ')}; do insmod /modules/$module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose root /below
mount -t tmpfs -o size=1500m tmpfs /above; mkdir /above/files /above/work
mount -t overlay -o lowerdir=/below,upperdir=/above/files,workdir=/above/work overlay /root
for place in proc sys dev; do mount -o move /$place /root/$place; done
mkdir -p /root/lib/modules
for place in tmp run dev/shm; do mkdir -p /root/$place; mount -t tmpfs tmpfs /root/$place; done
mount -o bind /below${kernels}/lib/modules /root/lib/modules
cat > /root/tmp/tests.sh <<'END'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root NO_COLOR=1 PROCLABEL_SHORT_CONNECTIONS=${shortConnections}
for module in ${testModules.join(' ')}; do modprobe $module; done
ip link set lo up
cd ${root}
${process.execPath} --test --test-concurrency=1 --test-reporter=spec ${tests.join(' ')}
echo "tests ended with $?"
END
chroot /root /bin/bash /tmp/tests.sh
poweroff -f
`

function makeInitramfs(kernels: string, version: string): string {
  const folder = path.join(kernels, `initramfs-${version}`)
  for (const place of ['bin', 'modules', 'proc', 'sys', 'dev', 'below', 'above', 'root'])
    mkdirSync(path.join(folder, place), { recursive: true })
  copyFileSync('/bin/busybox', path.join(folder, 'bin/busybox'))
  const modules = copyModules(kernels, version, path.join(folder, 'modules'))
  writeFileSync(path.join(folder, 'init'), init(modules, kernels), { mode: 0o755 })
  const file = `${folder}.cpio.gz`
  execFileSync('sh', ['-c', `find . | cpio --quiet -o -H newc | gzip -1 > "$1"`, 'sh', file], { cwd: folder })
  return file
}

/** Boots it; whether all tests passed. Their lines are shown. */
async function test(kernels: string, version: string): Promise<boolean> {
  const images = [
    path.join(kernels, 'boot', `vmlinuz-${version}`),
    path.join(kernels, 'lib/modules', version, 'vmlinuz'),
  ]
  const machine = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-m',
        '4096',
        '-smp',
        '2',
        '-cpu',
        'max',
        '-accel',
        'tcg,thread=multi',
        '-nographic',
        '-no-reboot',
        '-nic',
        'none',
      ],
      ...['-kernel', images.find(existsSync)!, '-initrd', makeInitramfs(kernels, version)],
      ...['-append', 'console=ttyS0 quiet panic=1 rdinit=/init'],
      ...['-virtfs', 'local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap'],
    ],
    { stdio: ['ignore', 'pipe', 'ignore'], timeout: limitMs, killSignal: 'SIGKILL' },
  )
  const closed = once(machine, 'close')
  let passed = false
  for await (const line of createInterface(machine.stdout!)) {
    if (/^(✔|✖|﹣|ℹ \w+, \d+ events lost| {2}\w*Error)/.test(line)) console.log(`${version}  ${line.slice(0, 200)}`)
    passed ||= line.startsWith('tests ended with 0')
  }
  await closed
  if (!passed) console.log(`${version}  ✖ not all tests passed`)
  return passed
}

const packages = process.argv.slice(2)
if (packages.length === 0) throw new Error('name packages of kernels: node services/e2e/kernels/main.ts PACKAGE.deb...')
const kernels = mkdtempSync(path.join(tmpdir(), 'proclabel-kernels-'))
try {
  for (const file of packages) execFileSync('dpkg-deb', ['-x', file, kernels])
  const [place, newPlace] = ['lib/modules', 'usr/lib/modules'].map(name => path.join(kernels, name)) as [string, string]
  mkdirSync(place, { recursive: true })
  if (existsSync(newPlace)) cpSync(newPlace, place, { recursive: true })
  for (const version of readdirSync(place)) {
    execFileSync('depmod', ['-b', kernels, version])
    if (!(await test(kernels, version))) process.exitCode = 1
  }
} finally {
  rmSync(kernels, { recursive: true })
}
