"""NFStream beside a lab's host: its flows with the process that it names, a JSON object a line; ends with SIGTERM."""
import json, signal, sys
from nfstream import NFStreamer

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
streamer = NFStreamer(source='eth0', system_visibility_mode=1, system_visibility_poll_ms=50, statistical_analysis=False,
                      n_dissections=0, idle_timeout=5, active_timeout=1800, n_meters=1)
print('capturing', flush=True)
for flow in streamer:
    print(json.dumps({
        'proto': {6: 'tcp', 17: 'udp'}.get(flow.protocol),
        'ends': [[flow.src_ip, flow.src_port], [flow.dst_ip, flow.dst_port]],
        'first': flow.bidirectional_first_seen_ms, 'last': flow.bidirectional_last_seen_ms,
        'pid': flow.system_process_pid, 'name': flow.system_process_name,
    }), flush=True)
