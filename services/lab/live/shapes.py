"""
What programs do with sockets that tools such as curl do not: `shapes.py SHAPE ARGUMENTS`. Each tells its own sockets on
standard output, a JSON object a line: proto, local, remote, pid, time in seconds since the epoch.
"""
import json, os, socket, struct, sys, time

GROUP = '239.255.77.7'


def tell(proto, local, remote):
    line = {'proto': proto, 'local': list(local[:2]), 'remote': list(remote[:2]), 'pid': os.getpid(), 'time': time.time()}
    os.write(1, f'{json.dumps(line)}\n'.encode())  # whole, whoever else writes there


def family(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def connect(address, port):
    s = socket.create_connection((address, int(port)), timeout=20)
    tell('tcp', s.getsockname(), s.getpeername())
    return s


def ask(s, ms):
    s.sendall(f'GET /ms={int(ms)}/ HTTP/1.1\r\nhost: w\r\n\r\n'.encode())
    while s.recv(65536):
        pass


def burst(address, port, count, ms):
    """One connection after the other."""
    for _ in range(int(count)):
        with connect(address, port) as s:
            ask(s, ms)


def beat(address, port, seconds, pause):
    """A short connection now and then."""
    end = time.time() + float(seconds)
    while time.time() < end:
        with connect(address, port) as s:
            ask(s, 100)
        time.sleep(float(pause))


def crowd(address, port, count, ms):
    """Many connections at once, each held."""
    sockets = [connect(address, port) for _ in range(int(count))]
    for s in sockets:
        s.sendall(f'GET /ms={int(ms)}/ HTTP/1.1\r\nhost: w\r\n\r\n'.encode())
    for s in sockets:
        while s.recv(65536):
            pass
        s.close()


def chatter(port, seconds, *addresses):
    """One wildcard socket, many peers, some thirty times a second, as games have."""
    s = socket.socket(family(addresses[0]), socket.SOCK_DGRAM)
    s.setblocking(False)
    for count in range(int(float(seconds) * 30)):
        for address in addresses:
            s.sendto(b'x' * 80, (address, int(port)))
        if count == 0:
            for peer in addresses:
                tell('udp', ('', s.getsockname()[1]), (peer, int(port)))
        time.sleep(1 / 30)
        try:
            while s.recv(1500):
                pass
        except BlockingIOError:
            pass


def pings(address, port, count):
    """A socket for every question: ports used once, by datagrams."""
    for _ in range(int(count)):
        with socket.socket(family(address), socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(b'ping', (address, int(port)))
            tell('udp', ('', s.getsockname()[1]), (address, int(port)))
            try:
                s.recv(1500)
            except TimeoutError:
                pass


def from_port(address, port, local):
    """From a port that others use too, free at once: it closes with a reset."""
    s = socket.socket(family(address))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    try:
        s.bind(('', int(local)))
        s.connect((address, int(port)))
    except OSError:
        return  # in use just now
    tell('tcp', s.getsockname(), s.getpeername())
    ask(s, 200)


def fork(address, port):
    """Connects, forks, and both speak."""
    s = connect(address, port)
    if os.fork() == 0:
        tell('tcp', s.getsockname(), s.getpeername())
        ask(s, 300)
        os._exit(0)
    s.close()
    os.wait()


def become(address, port):
    """Connects, then becomes another program, which speaks."""
    s = connect(address, port)
    os.set_inheritable(s.fileno(), True)
    script = 'printf "GET /ms=400/ HTTP/1.0\\r\\n\\r\\n" >&$0; while read -r -u $0; do :; done'
    os.execvp('bash', ['bash', '-c', script, str(s.fileno())])


def hand_over(address, port):
    """Connects and passes the descriptor to a process that was there before."""
    here, there = socket.socketpair()
    if os.fork() == 0:
        here.close()
        _, descriptors, _, _ = socket.recv_fds(there, 1, 1)
        s = socket.socket(fileno=descriptors[0])
        tell('tcp', s.getsockname(), s.getpeername())
        ask(s, 400)
        os._exit(0)
    s = connect(address, port)
    socket.send_fds(here, [b'x'], [s.fileno()])
    s.close()
    os.wait()


def shared_port(port, seconds):
    """Three processes, each with a listening socket on one port."""
    for _ in range(2):
        if os.fork() == 0:
            break
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(('::', int(port)))
    s.listen(64)
    s.settimeout(0.2)
    end = time.time() + float(seconds)
    while time.time() < end:
        try:
            c, peer = s.accept()
        except TimeoutError:
            continue
        c.settimeout(5)
        mapped = c.getsockname()[0].replace('::ffff:', ''), c.getsockname()[1]
        tell('tcp', mapped, (peer[0].replace('::ffff:', ''), peer[1]))
        try:
            c.recv(4096)
            c.sendall(b'HTTP/1.0 200 OK\r\n\r\nend\n')
        except OSError:
            pass
        c.close()


def announce(local, seconds):
    """Two processes on one multicast port, as with mDNS."""
    os.fork()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', 7777))
    interface = socket.inet_aton(local)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + interface)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
    s.settimeout(0.5)
    end = time.time() + float(seconds)
    s.sendto(b'here', (GROUP, 7777))
    tell('udp', (local, 7777), (GROUP, 7777))
    while time.time() < end:
        try:
            s.recv(1500)
        except TimeoutError:
            s.sendto(b'here', (GROUP, 7777))


globals()[sys.argv[1]](*sys.argv[2:])
