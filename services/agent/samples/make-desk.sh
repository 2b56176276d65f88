#!/bin/sh
# Makes desk.ss.log.gz, desk.pcap.gz and desk.jsonl (who spoke by which ports), as root: a host "desk" with a log of `ss`, and another network
# namespace that its programs speak with. Needs tcpdump, iproute2, curl and node.
set -e
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
ip netns add desk; ip netns add peer
end() { for pid in $pids; do kill "$pid" || true; done; ip netns del desk; ip netns del peer; }
trap end EXIT
ip link add eth0 netns desk type veth peer name eth0 netns peer
for side in 'desk 10' 'peer 20'; do
  set -- $side
  ip -n "$1" address add "192.0.2.$2/24" dev eth0
  ip -n "$1" address add "2001:db8::$2/64" dev eth0 nodad
  ip -n "$1" link set lo up
  ip -n "$1" link set eth0 up
done
on() { side=$1; shift; ip netns exec "$side" "$@"; }
on desk tcpdump -i eth0 -w "$work/desk.pcap" -Z root --immediate-mode 'tcp or udp' & pids=$!
on desk sh -c 'while sleep 1; do date -Ins; ss -tunapOH; done' > "$work/desk.ss.log" & pids="$pids $!"
on peer node "$here/speak.mjs" serve > "$work/peer.jsonl" & pids="$pids $!"
sleep 2
on desk node "$here/speak.mjs" serve > "$work/server.jsonl" & pids="$pids $!"
sleep 2
for address in 192.0.2.20 '[2001:db8::20]'; do
  for _ in 1 2 3; do on desk curl -s -o "$work/page" "http://$address:8080/"; sleep 0.3; done
done
on desk node "$here/speak.mjs" talk > "$work/client.jsonl"
on peer curl -s -o "$work/page" http://192.0.2.10:8080/
on peer curl -s -o "$work/page" 'http://[2001:db8::10]:8080/'
sleep 3
cat "$work/server.jsonl" "$work/client.jsonl" > "$here/desk.jsonl"
for file in desk.ss.log desk.pcap; do gzip -9nc "$work/$file" > "$here/$file.gz"; done
