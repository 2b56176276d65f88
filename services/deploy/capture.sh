#!/bin/sh
# Captures on PROCLABEL_INTERFACE, or where that is empty on the interface of the default route.
set -eu
if [ -z "${PROCLABEL_INTERFACE:-}" ]; then
  # Destination and mask 0.0.0.0: the second and the eighth column.
  PROCLABEL_INTERFACE=$(awk '$2 == "00000000" && $8 == "00000000" { print $1; exit }' /proc/net/route)
  [ -n "$PROCLABEL_INTERFACE" ] || { echo 'no default route: set PROCLABEL_INTERFACE' >&2; exit 2; }
fi
export PROCLABEL_INTERFACE
exec proclabel capture "$@"
