import assert from 'node:assert/strict'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ended, type LabNetwork, waitForOutput } from './network.ts'
import { find } from './programs.ts'
import { witnessPort } from './witness.ts'

/** Programs of the host that say to the witness at an address who they are; none but curl asks for its own port. */
type Caller = (address: string, role: string) => { command: string; args: string[] }

const pythonSocket = `
import os, socket, sys
address, text = sys.argv[1], f'{os.getpid()} {sys.argv[2]}'.encode()
family = socket.AF_INET6 if ':' in address else socket.AF_INET
`
const pythonTcp = `${pythonSocket}
s = socket.socket(family)
s.connect((address, ${witnessPort}))
s.sendall(text)
s.recv(1)
`
const pythonUdp = `${pythonSocket}
socket.socket(family, socket.SOCK_DGRAM).sendto(text, (address, ${witnessPort}))
`
const perlTcp = `
use IO::Socket::IP;
my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => ${witnessPort}, Type => SOCK_STREAM) or die;
$s->print("$$ $ARGV[1]");
$s->flush;
<$s>;
`
const nodeTcp = `
const socket = require('net').connect(${witnessPort}, process.argv[1])
socket.end(process.pid + ' ' + process.argv[2]).resume()
`
const bash = (proto: string) =>
  `exec 3<>/dev/${proto}/$0/${witnessPort}; echo "$$ $1" >&3${proto === 'tcp' ? '; read -u 3' : ''}; exit 0`
/** Its standard input is what it sends, so it can become curl once that has its pid. */
const curl = `exec "$1" -s "telnet://$0:${witnessPort}" <<< "$$ $2"`

const inUrl = (address: string) => (address.includes(':') ? `[${address}]` : address)

function caller(command: string, option: string, script: string): Caller {
  const file = find(command)
  return (address, role) => ({ command: file, args: [option, script, address, `${path.basename(file)} ${role}`] })
}

const callers: Record<string, Caller> = {
  'bash, TCP': caller('bash', '-c', bash('tcp')),
  'python, TCP': caller('python3', '-c', pythonTcp),
  'perl, TCP': caller('perl', '-e', perlTcp),
  'curl, TCP': (address, role) => ({
    command: find('bash'),
    args: ['-c', curl, inUrl(address), find('curl'), `curl ${role}`],
  }),
  'bash, UDP': caller('bash', '-c', bash('udp')),
  'python, UDP': caller('python3', '-c', pythonUdp),
  'node, TCP': (address, role) => ({ command: process.execPath, args: ['-e', nodeTcp, address, `node ${role}`] }),
}

/** How long after the one before the next program speaks to the same end. */
const pausesMs = [0, 30, 150, 0, 600, 1300]

/** Runs `count` programs that speak to the witness at one address, each some time after the one before. */
export async function callWitness(network: LabNetwork, address: string, count: number): Promise<void> {
  const kinds = Object.entries(callers)
  const running = []
  for (let i = 0; i < count; i++) {
    const [role, caller] = kinds[i % kinds.length]!
    const { command, args } = caller(address, role.replaceAll(' ', ''))
    running.push(ended(network.start('host', command, args, { stdio: ['ignore', 'ignore', 'pipe'] })))
    await sleep(pausesMs[i % pausesMs.length])
  }
  for (const { status, errors } of await Promise.all(running)) assert.deepEqual([status, errors], [0, ''])
}

const pythonServer = (accept: string) => `
import os, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('::', int(sys.argv[1])))
s.listen(50)
print('ready', flush=True)
def answer(c, pid):
    c.recv(100)
    c.sendall(f'{pid} {sys.argv[2]}'.encode())
    c.recv(100)
${accept}
`
const preforking = pythonServer(`
for _ in range(3):
    if os.fork() == 0: break
while True: answer(s.accept()[0], os.getpid())
`)
/** Who accepts has the connection. */
const forking = pythonServer(`
while True:
    c, _ = s.accept()
    if os.fork() == 0:
        s.close()
        answer(c, os.getppid())
        os._exit(0)
    c.close()
`)
const nodeServer = `
require('net').createServer(socket => socket.on('error', () => {}).once('data', () => socket.write(process.pid + ' ' + process.argv[2])))
  .listen(Number(process.argv[1]), '::', () => console.log('ready'))
`

const servers: Record<string, [command: string, option: string, script: string]> = {
  'python, preforking': ['python3', '-c', preforking],
  'python, forking': ['python3', '-c', forking],
  'node, server': [process.execPath, '-e', nodeServer],
}

/** Starts servers on the host, each of which says to whoever connects who it is; answers with their ports. */
export async function startServers(network: LabNetwork, firstPort: number): Promise<number[]> {
  const starting = Object.entries(servers).map(async ([role, [command, option, script]], i) => {
    const file = find(command)
    const args = [option, script, String(firstPort + i), `${path.basename(file)} ${role.replaceAll(' ', '')}`]
    const child = network.start('host', file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await waitForOutput(child, 'ready')
    return firstPort + i
  })
  return Promise.all(starting)
}
