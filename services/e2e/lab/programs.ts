import { execFileSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import path from 'node:path'

/** One run of a real program, that talks to one address of the world's. */
export interface Program {
  command: string
  args: string[]
  /** For its standard input. */
  input?: string
  /** Exit statuses that mean it did what it was to do. */
  statuses?: number[]
}

/** Builds a run that talks to `address` for about `ms`. */
export type ProgramKind = (address: string, ms: number) => Program

const inUrl = (address: string) => (address.includes(':') ? `[${address}]` : address)
/** The world answers `/ms=N/…` at once, and ends the answer after N ms. */
const url = (scheme: string, address: string, ms: number) => `${scheme}://${inUrl(address)}/ms=${ms}/`

/** Where Debian has it, rather than a wrapper earlier on PATH: the wrapper's child would be the program. */
export function find(command: string): string {
  const found = [`/usr/bin/${command}`, ...(process.env.PATH ?? '').split(':').map(folder => `${folder}/${command}`)]
  return realpathSync(found.find(file => existsSync(file)) ?? command)
}

const gitHttp = (): string =>
  path.join(execFileSync('git', ['--exec-path'], { encoding: 'utf8' }).trim(), 'git-remote-http')

/** Each prints the local ports that it used, in lines `port N`, as the kernel told it (getsockname). */
const pythonTcp = `
import socket, sys, time
address, seconds, local = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
if local:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')  # closes with a reset: the port is free at once
    s.bind(('::' if ':' in address else '', local))
s.connect((address, 80))
print('port', s.getsockname()[1], flush=True)
s.sendall(f'GET /ms={int(seconds * 1000)}/ HTTP/1.1\\r\\nhost: w\\r\\n\\r\\n'.encode())
while not s.recv(4096).endswith(b'end\\n\\r\\n0\\r\\n\\r\\n'): pass
`

const pythonUdp = `
import socket, sys, time
address, seconds, connected = sys.argv[1], float(sys.argv[2]), sys.argv[3] == 'connected'
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
if connected: s.connect((address, 5000))
for i in range(6):
    s.send(b'hello') if connected else s.sendto(b'hello', (address, 5000))
    s.recv(100)
    if i == 0: print('port', s.getsockname()[1], flush=True)
    if i < 5: time.sleep(seconds / 5)
`

const nodeTcp = `
const [address, ms, localPort] = process.argv.slice(1)
const options = { host: address, port: 80, ...(localPort !== '0' && { localPort: Number(localPort) }) }
const socket = require('net').connect(options, () => {
  console.log('port', socket.localPort)
  socket.write('GET /ms=' + ms + '/ HTTP/1.1\\r\\nhost: w\\r\\n\\r\\n')
})
socket.resume()
`

const nodeHttps = `
const request = require('https').get(process.argv[1], { rejectUnauthorized: false }, response => response.resume())
request.on('socket', s => s.on('connect', () => console.log('port', s.localPort)))
`

const curl = (...args: string[]): Program => ({
  command: find('curl'),
  args: ['-sSk', '-o', '/dev/null', '-w', 'port %{local_port}\n', ...args],
})
const python = (script: string, ...args: string[]): Program => ({
  command: find('python3'),
  args: ['-c', script, ...args],
})
const node = (script: string, ...args: string[]): Program => ({
  command: process.execPath,
  args: ['-e', script, ...args],
})

/** TCP programs whose connection lasts as long as they are asked. */
export const heldTcp: Record<string, ProgramKind> = {
  curl: (address, ms) => curl(url('http', address, ms)),
  'curl, TLS': (address, ms) => curl(url('https', address, ms)),
  wget: (address, ms) => ({
    command: find('wget'),
    args: ['-q', '-O', '/dev/null', '--no-check-certificate', url('https', address, ms)],
  }),
  python: (address, ms) => python(pythonTcp, address, String(ms / 1000), '0'),
  node: (address, ms) => node(nodeTcp, address, String(ms), '0'),
  'node, TLS': (address, ms) => node(nodeHttps, url('https', address, ms)),
  bash: (address, ms) => ({
    command: find('bash'),
    args: [
      '-c',
      `exec 3<>/dev/tcp/${address}/80; printf 'GET /ms=${ms}/ HTTP/1.0\\r\\n\\r\\n' >&3; while read -r -u 3; do :; done`,
    ],
  }),
  git: (address, ms) => ({
    command: gitHttp(),
    args: ['origin', url('http', address, ms)],
    input: 'list\n\n',
    statuses: [128],
  }),
  // The world greets as an SSH server does and hangs up after 800 ms.
  ssh: address => ({
    command: find('ssh'),
    args: ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=9', address],
    statuses: [255],
  }),
}

export const heldUdp: Record<string, ProgramKind> = {
  'python, UDP': (address, ms) => python(pythonUdp, address, String(ms / 1000), 'unconnected'),
  'python, connected UDP': (address, ms) => python(pythonUdp, address, String(ms / 1000), 'connected'),
  // The world takes 400 ms for such a name.
  dig: address => ({ command: find('dig'), args: [`@${address}`, 'slow.example.com', '+tries=1'] }),
  'dig, TCP': address => ({ command: find('dig'), args: [`@${address}`, 'slow.example.com', '+tcp', '+tries=1'] }),
}

/** Over before a poll may see them. */
export const brief: Record<string, ProgramKind> = {
  'brief curl': address => curl(url('http', address, 0)),
  'brief dig': address => ({ command: find('dig'), args: [`@${address}`, 'quick.example.com', '+tries=1'] }),
  // As browsers start their processes: the path is that of whoever follows it.
  'brief python, by its own link': address =>
    python(
      `import os, sys; os.execv('/proc/self/exe', ['python3', *sys.argv[1:]])`,
      ...['-c', pythonTcp, address, '0', '0'],
    ),
  'refused curl': address => ({ ...curl(`http://${inUrl(address)}:81/`), statuses: [7] }),
}

/** Asks a server for its answer by a name of its own, at an address that was chosen. */
export const namedCurl =
  (name: string): ProgramKind =>
  (address, ms) =>
    curl('--resolve', `${name}:443:${inUrl(address)}`, url('https', name, ms))

/** A connection from a local port that was chosen, so that two programs can have it one after the other. */
export const fromPort = {
  python: (address: string, ms: number, port: number) => python(pythonTcp, address, String(ms / 1000), String(port)),
  node: (address: string, ms: number, port: number) => node(nodeTcp, address, String(ms), String(port)),
}

/** Servers on the host, that accept on `port` of every address; they say `ready`. */
export const hostServers: Record<string, (port: number) => Program> = {
  'python, server': port =>
    python(
      `
import http.server, socket, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'x'); self.wfile.flush()
        time.sleep(float(self.path.split('=')[1].strip('/')) / 1000); self.wfile.write(b'end')
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
server = Server(('::', int(sys.argv[1])), Handler)
print('ready', flush=True)
server.serve_forever()
`,
      String(port),
    ),
  'node, server': port =>
    node(
      `
require('http').createServer((request, response) => {
  response.writeHead(200).write('x')
  setTimeout(() => response.end('end'), Number.parseInt(request.url.split('=')[1]))
}).listen(Number(process.argv[1]), '0.0.0.0', () => console.log('ready'))
`,
      String(port),
    ),
}
