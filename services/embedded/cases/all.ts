import { connection, exchange, type PacketText } from './packet-text.ts'
import type { HostText } from './socket-text.ts'

/** A golden case as a person describes it. `make.ts` turns it into the folder of its name. */
export interface Case {
  name: string
  /** One or two sentences for its README. */
  shows: string
  packets: PacketText[]
  hosts: HostText[]
}

const desk = { host: 'desk', ips: ['10.0.0.1'] }

/** `count` connections of curl to one server, each with its socket in the polls; from ports 40001 on. */
function curls(count: number, server: (i: number) => string, first = 'data', apartMs = 1000) {
  const ports = Array.from({ length: count }, (_, i) => i)
  return {
    lastMs: count * apartMs,
    packets: ports.flatMap(i =>
      connection(`10.0.0.1:${40_001 + i} > ${server(i)}`, 1250 + i * apartMs, { lastsMs: 700, first }),
    ),
    sockets: ports.map(
      i =>
        `${1250 + i * apartMs}-${1950 + i * apartMs} tcp 10.0.0.1:${40_001 + i} ${server(i)} established curl:${101 + i}`,
    ),
  }
}

const three = curls(3, () => '9.9.9.9:443')
const thirty = curls(30, () => '9.9.9.9:443', 'data', 6000)
const named = curls(3, i => `9.9.9.${i + 1}:443`, 'hello=api.example.com')

export const cases: readonly Case[] = [
  {
    name: 'stage-a-exact',
    shows: 'Stage A: polls show a socket of exactly this 5-tuple while the session lasts.',
    packets: connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 2000 }),
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        sockets: ['1250-3250 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100'],
      },
    ],
  },
  {
    name: 'stage-a-event',
    shows: 'Stage A: a connect event names the process of a session that is too short for any poll.',
    packets: connection('10.0.0.1:40000 > 9.9.9.9:443', 1100, { lastsMs: 80 }),
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        events: ['1100 connect tcp 10.0.0.1:40000 9.9.9.9:443 curl:100', '1180 close tcp 10.0.0.1:40000 9.9.9.9:443'],
        complete: [0, 5000],
      },
    ],
  },
  {
    name: 'stage-a-one-program',
    shows: 'Stage A: two processes of one program hold the socket: the program is the label, the pid is null.',
    packets: connection('9.9.9.9:50000 > 10.0.0.1:80', 1250, { lastsMs: 900 }),
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        sockets: ['0- tcp 0.0.0.0:80 * listen nginx:10,nginx:11'],
      },
    ],
  },
  {
    name: 'stage-a-listener',
    shows: 'Stage A: an accepted connection that no poll caught belongs to the listener of its port.',
    packets: connection('9.9.9.9:50000 > 10.0.0.1:22', 1100, { lastsMs: 80 }),
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'] }],
  },
  {
    name: 'stage-a-wildcard-udp',
    shows:
      'Stage A: of two UDP sockets on a port, the one bound to the address of the packet wins over the wildcard; for the ' +
      "host's other address the wildcard answers.",
    packets: [...exchange('9.9.9.9:50000 > 10.0.0.1:53', 1000), ...exchange('9.9.9.9:50001 > 10.0.0.2:53', 1000)],
    hosts: [
      {
        ...desk,
        ips: ['10.0.0.1', '10.0.0.2'],
        polls: [[0, 5000]],
        sockets: ['0- udp 0.0.0.0:53 * bound dnsmasq:30', '0- udp 10.0.0.1:53 * bound named:31'],
      },
    ],
  },
  {
    name: 'stage-a-v4-mapped',
    shows: 'Stage A: a socket with v4-mapped IPv6 ends is that of the IPv4 session, and a :: listener takes IPv4.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 900 }),
      ...connection('9.9.9.9:50000 > 10.0.0.1:8080', 1250, { lastsMs: 900 }),
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        sockets: [
          '1250-2150 tcp ::ffff:10.0.0.1:40000 ::ffff:9.9.9.9:443 established java:40',
          '0- tcp :::8080 * listen java:40',
        ],
      },
    ],
  },
  {
    name: 'stage-a-time-wait',
    shows: 'Stage A: the ownerless TIME_WAIT row of a socket does not take it from its last owner.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 900 }),
      '4250 tcp 10.0.0.1:40000 < 9.9.9.9:443 fin',
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 6000]],
        sockets: [
          '1250-2000 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100',
          '2400-5000 tcp 10.0.0.1:40000 9.9.9.9:443 time_wait -',
        ],
      },
    ],
  },
  {
    name: 'stage-a-clock-offset',
    shows:
      "Stage A: the host's clock is 11.5 s ahead of the capture's. The offset follows from the sockets themselves, and is applied: " +
      'the port was another program’s 11.5 s later.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1100, { lastsMs: 1000 }),
      ...connection('10.0.0.1:40001 > 9.9.9.9:443', 2300, { lastsMs: 1000 }),
      ...connection('10.0.0.1:40002 > 9.9.9.9:443', 3700, { lastsMs: 1000 }),
      ...exchange('9.9.9.9:50000 > 10.0.0.1:5000', 2000),
      ...exchange('9.9.9.9:50001 > 10.0.0.1:5000', 13_500),
    ],
    hosts: [
      {
        ...desk,
        clockMs: 11_500,
        polls: [[0, 20_000]],
        sockets: [
          '1100-2100 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100',
          '2300-3300 tcp 10.0.0.1:40001 9.9.9.9:443 established curl:101',
          '3700-4700 tcp 10.0.0.1:40002 9.9.9.9:443 established curl:102',
          '0-8000 udp 0.0.0.0:5000 * bound early:50',
          '9000- udp 0.0.0.0:5000 * bound late:51',
        ],
      },
    ],
  },
  {
    name: 'stage-a2-rule',
    shows:
      'Stage A2: three sessions of curl with one server make a rule; it labels the fourth, during which the agent was cut off.',
    packets: [...three.packets, ...connection('10.0.0.1:41000 > 9.9.9.9:443', 20_000)],
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: three.sockets }],
  },
  {
    name: 'stage-b-same-tuple',
    shows: 'Stage B: the same 5-tuple again, 20 s after a session that stage A labeled, while the agent was cut off.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 900 }),
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 20_000, { syn: 'syn=7000' }),
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        sockets: ['1250-2150 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100'],
      },
    ],
  },
  {
    name: 'stage-c-remote-port',
    shows: 'Stage C: another port of the host, the same remote address and port as a session that stage A labeled.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 900 }),
      ...connection('10.0.0.1:41000 > 9.9.9.9:443', 20_000),
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        sockets: ['1250-2150 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100'],
      },
    ],
  },
  {
    name: 'stage-c-burst',
    shows:
      'Stage C at a remote end that two programs use: in the midst of wget’s burst a session is wget’s, two minutes later nobody’s.',
    packets: [
      ...[1, 2, 3, 4].flatMap(i => connection(`10.0.0.1:4000${i} > 9.9.9.9:443`, 1000 * i + 250, { lastsMs: 700 })),
      ...connection('10.0.0.1:41000 > 9.9.9.9:443', 6000),
      ...connection('10.0.0.1:42000 > 9.9.9.9:443', 126_000),
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 128_000]],
        sockets: [1, 2, 3, 4].map(
          i =>
            `${1000 * i + 250}-${1000 * i + 950} tcp 10.0.0.1:4000${i} 9.9.9.9:443 established ${i === 1 ? 'curl:100' : 'wget:200'}`,
        ),
      },
    ],
  },
  {
    name: 'stage-d-remote-ip',
    shows:
      'Stage D: thirty sessions with a remote address, six seconds apart, were curl’s; so is one with another port of that address.',
    packets: [...thirty.packets, ...connection('10.0.0.1:41000 > 9.9.9.9:8443', 210_000)],
    hosts: [{ ...desk, polls: [[0, 183_000]], sockets: thirty.sockets }],
  },
  {
    name: 'stage-f-port-history',
    shows:
      'Stage F, in post-processing: while the agent was cut off a datagram came to a port that syslog had open before and after.',
    packets: ['20000 udp 9.9.9.9:50000 > 10.0.0.1:5140 data', ...connection('10.0.0.1:41000 > 9.9.9.9:80', 60_000)],
    hosts: [
      {
        ...desk,
        polls: [
          [0, 5000],
          [40_000, 62_000],
        ],
        sockets: ['1000-3000 udp 0.0.0.0:5140 * bound syslog:60', '45000-48000 udp 0.0.0.0:5140 * bound syslog:61'],
      },
    ],
  },
  {
    name: 'stage-n-server-name',
    shows: 'Stage N, in post-processing: curl alone asked for this server name before; the address is a new one.',
    packets: [
      ...named.packets,
      ...connection('10.0.0.1:41000 > 8.8.8.8:443', 20_000, { first: 'hello=api.example.com' }),
    ],
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: named.sockets }],
  },
  {
    name: 'agent-fell-silent',
    shows:
      'The agent stops at 5 s. Its last poll vouches for the listener ten polls long (the first session); a minute later ' +
      'nobody knows who listens: that it is still the same program is post-processing’s guess.',
    packets: [...connection('9.9.9.9:50000 > 10.0.0.1:22', 6000), ...connection('9.9.9.9:50001 > 10.0.0.1:22', 60_000)],
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'] }],
  },
  {
    name: 'both-ends',
    shows: 'Both ends are monitored: one record a host, client and server process, each naming the other’s session.',
    packets: connection('10.0.0.1:40000 > 10.0.0.2:80', 1250, { lastsMs: 2000 }),
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        sockets: ['1250-3250 tcp 10.0.0.1:40000 10.0.0.2:80 established curl:100'],
      },
      {
        host: 'web',
        ips: ['10.0.0.2'],
        polls: [[0, 5000]],
        sockets: [
          '0- tcp 0.0.0.0:80 * listen nginx:10',
          '1250-3250 tcp 10.0.0.2:80 10.0.0.1:40000 established nginx:11',
        ],
      },
    ],
  },
  {
    name: 'port-reuse',
    shows: 'A SYN with another sequence number on an ended 5-tuple starts a new session, of whoever has the port now.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 900 }),
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 3250, { lastsMs: 900, syn: 'syn=7000' }),
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 6000]],
        sockets: [
          '1250-2150 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100',
          '3250-4150 tcp 10.0.0.1:40000 9.9.9.9:443 established wget:101',
        ],
      },
    ],
  },
  {
    name: 'port-reuse-unseen',
    shows:
      'A second connection of a 5-tuple falls between two polls, and leaves a TIME_WAIT row: the socket before is not its own, ' +
      'so that stage A has nothing to say. Stage B says who had the 5-tuple before.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 900 }),
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 3100, { lastsMs: 80, syn: 'syn=7000' }),
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 7000]],
        sockets: [
          '1250-2150 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100',
          '3400-3900 tcp 10.0.0.1:40000 9.9.9.9:443 time_wait -',
        ],
      },
    ],
  },
  {
    name: 'late-evidence',
    shows: 'The agent was cut off and sends its events 150 s later: the session, unknown until then, gets its label.',
    packets: [
      ...connection('10.0.0.1:40000 > 9.9.9.9:443', 1000),
      ...connection('10.0.0.1:41000 > 8.8.8.8:443', 200_000),
    ],
    hosts: [
      {
        ...desk,
        polls: [[0, 3000]],
        events: ['1000 connect tcp 10.0.0.1:40000 9.9.9.9:443 curl:100'],
        eventsArriveMs: 170_000,
      },
    ],
  },
  {
    name: 'unknown-no-agent',
    shows: 'Unknown, no-agent: the host is monitored, but its agent has told nothing.',
    packets: connection('10.0.0.1:40000 > 9.9.9.9:443', 1000),
    hosts: [desk],
  },
  {
    name: 'unknown-agent-gap',
    shows: 'Unknown, agent-gap: the agent was cut off while the session lasted.',
    packets: connection('10.0.0.1:40000 > 9.9.9.9:443', 10_000, { lastsMs: 900 }),
    hosts: [
      {
        ...desk,
        polls: [
          [0, 5000],
          [20_000, 22_000],
        ],
        sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'],
      },
    ],
  },
  {
    name: 'unknown-capture-gap',
    shows: 'Unknown, capture-gap: the sensor lost packets during the session, which no socket fits.',
    packets: [
      '1000 tcp 10.0.0.1:40000 > 9.9.9.9:443 data',
      '2000 tcp 10.0.0.1:40000 < 9.9.9.9:443 data lost=3',
      '3000 tcp 10.0.0.1:40000 > 9.9.9.9:443 data',
    ],
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'] }],
  },
  {
    name: 'unknown-too-short',
    shows: 'Unknown, too-short: the session fits between two polls, and there are no events.',
    packets: connection('10.0.0.1:40000 > 9.9.9.9:443', 1100, { lastsMs: 80 }),
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'] }],
  },
  {
    name: 'unknown-ambiguous',
    shows: 'Unknown, ambiguous: two programs hold the one socket; both are named as candidates.',
    packets: connection('10.0.0.1:40000 > 9.9.9.9:443', 1250, { lastsMs: 2000 }),
    hosts: [
      {
        ...desk,
        polls: [[0, 5000]],
        sockets: ['1250-3250 tcp 10.0.0.1:40000 9.9.9.9:443 established python3:70,ffmpeg:71'],
      },
    ],
  },
  {
    name: 'unknown-nat',
    shows: 'Unknown, nat: no socket of a host that runs containers fits; it forwards for one of them.',
    packets: connection('10.0.0.1:40000 > 9.9.9.9:443', 1000, { lastsMs: 3000 }),
    hosts: [{ ...desk, polls: [[0, 6000]], sockets: ['0- tcp 172.17.0.2:80 * listen docker/nginx:9'] }],
  },
  {
    name: 'unknown-kernel',
    shows: 'Unknown, kernel: a file share (SMB) is spoken by the kernel itself.',
    packets: connection('10.0.0.1:40000 > 10.0.0.9:445', 1250, { lastsMs: 3000 }),
    hosts: [
      {
        ...desk,
        polls: [[0, 6000]],
        sockets: ['1250-4250 tcp 10.0.0.1:40000 10.0.0.9:445 established -'],
      },
    ],
  },
  {
    name: 'unknown-refused',
    shows: 'Unknown, refused: nobody listens on the port that a stranger knocked at.',
    packets: ['1000 tcp 9.9.9.9:50000 > 10.0.0.1:23 syn', '1001 tcp 9.9.9.9:50000 < 10.0.0.1:23 rst'],
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'] }],
  },
  {
    name: 'unknown-not-tcp-udp',
    shows: 'Unknown, not-tcp-udp: a ping has no socket in the tables of TCP and UDP.',
    packets: ['1000 icmp 10.0.0.1 > 9.9.9.9 echo', '2000 icmp 10.0.0.1 > 9.9.9.9 echo'],
    hosts: [{ ...desk, polls: [[0, 5000]], sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'] }],
  },
  {
    name: 'unknown-no-socket',
    shows:
      'Unknown, no-socket: a source that tells every event told of none, and no poll shows one: nobody owned the port. ' +
      'A raw socket or a forged packet.',
    packets: ['3000 udp 10.0.0.1:31337 > 9.9.9.9:4444 data', '4500 udp 10.0.0.1:31337 > 9.9.9.9:4444 data'],
    hosts: [
      {
        ...desk,
        polls: [[0, 8000]],
        sockets: ['0- tcp 0.0.0.0:22 * listen sshd:20'],
        complete: [0, 8000],
      },
    ],
  },
]
