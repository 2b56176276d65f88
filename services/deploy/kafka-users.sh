#!/bin/bash
# In Kafka's image, on its internal network: makes the users, and grants what `proclabel topics acls` printed. Safe to run again.
set -euo pipefail
export PATH="/opt/kafka/bin:$PATH" BROKERS=kafka-internal:9094 ADMIN=/tmp/admin.properties
: >"$ADMIN"
for user in admin agent capture matcher resolver export tail doctor; do
  kafka-configs.sh --bootstrap-server "$BROKERS" --alter --entity-type users --entity-name "$user" \
    --add-config "SCRAM-SHA-512=[password=$(cat "/run/secrets/password-$user")]" >/dev/null
  echo "user $user"
done
. /acls/acls.sh
