"""
HTTP/3 by aioquic. `quic.py serve FOLDER ADDRESS...` answers on UDP 443 with the certificate in FOLDER, and says `ready`;
`quic.py ask ADDRESS NAME MS COUNT PAUSE` asks COUNT times, each over a connection of its own, for an answer that lasts MS
milliseconds. It tells its own sockets as shapes.py does.
"""
import asyncio, json, os, ssl, sys, time

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, StreamDataReceived


class Server(QuicConnectionProtocol):
    http = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        for each in self.http.handle_event(event) if self.http else ():
            if isinstance(each, HeadersReceived):
                asyncio.ensure_future(self.answer(each.stream_id, dict(each.headers)[b':path'].decode()))

    async def answer(self, stream, path):
        self.http.send_headers(stream, [(b':status', b'200')])
        self.http.send_data(stream, b'x' * 100, False)
        self.transmit()
        await asyncio.sleep(int(path.split('=')[1].strip('/')) / 1000)
        self.http.send_data(stream, b'end', True)
        self.transmit()


class Client(QuicConnectionProtocol):
    ended = None

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived) and event.stream_id == 0 and event.end_stream:
            self.ended.set()


async def run_server(folder, *addresses):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(f'{folder}/cert.pem', f'{folder}/key.pem')
    for address in addresses:
        await serve(address, 443, configuration=configuration, create_protocol=Server)
    print('ready', flush=True)
    await asyncio.Event().wait()


async def ask(address, name, ms, count, pause):
    # Idle for longer than an answer may take.
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN, server_name=name, verify_mode=ssl.CERT_NONE, idle_timeout=int(ms) / 1000 + 30
    )
    for _ in range(int(count)):
        async with connect(address, 443, configuration=configuration, create_protocol=Client) as client:
            client.ended = asyncio.Event()
            port = client._transport.get_extra_info('sockname')[1]
            line = {'proto': 'udp', 'local': ['', port], 'remote': [address, 443], 'pid': os.getpid(), 'time': time.time()}
            print(json.dumps(line), flush=True)
            http = H3Connection(client._quic)
            named = [(b':method', b'GET'), (b':scheme', b'https'), (b':authority', name.encode())]
            http.send_headers(0, [*named, (b':path', f'/ms={ms}/'.encode())], True)
            client.transmit()
            await client.ended.wait()
        await asyncio.sleep(int(pause) / 1000)


asyncio.run({'serve': run_server, 'ask': ask}[sys.argv[1]](*sys.argv[2:]))
