#!/bin/sh
# Labeled sessions on the console: closed ones, from the beginning, as columns. Needs jq; more options are handed on, such as
# --host desk or --process curl. With docker-compose, let `docker compose exec -T matcher proclabel` stand for `proclabel`.
set -eu
proclabel=${PROCLABEL:-proclabel}
$proclabel tail --from-beginning --state closed "$@" |
  jq --unbuffered --raw-output '[.session_id, .revision, .host_id, .label.process // "unknown (\(.unknown_cause))", .stage,
    "\(.remote_ip) \(.remote_port)"] | @tsv'
