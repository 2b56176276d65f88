#!/bin/sh
# Makes what docker-compose.secured.yml needs, in services/deploy/secrets: an authority, a certificate each for Kafka and Redis,
# a password for each service. What is there already stays. Needs openssl.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
cd secrets

[ -f ca.key ] || {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj '/CN=proclabel authority' \
    -addext 'keyUsage=critical,keyCertSign' -keyout ca.key -out ca.pem 2>/dev/null
}

# Key (PKCS 8) and certificate in one file, as Kafka wants a PEM store, and apart, as Redis does.
certificate() {
  [ -f "$1.pem" ] && return
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$2" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
  cat "$1.key" "$1.crt" >"$1.pem"
  rm "$1.csr" "$1.ext"
}
certificate kafka 'DNS:kafka,DNS:localhost,IP:127.0.0.1'
certificate redis 'DNS:redis'

for user in admin agent capture matcher resolver export tail doctor redis; do
  [ -f "password-$user" ] || openssl rand -hex 24 >"password-$user"
done

# The matcher's least rights: services/shared/store/README.md.
hash=$(tr -d '\n' <password-redis | openssl dgst -sha256 -r | cut -d' ' -f1)
cat >redis-users.acl <<USERS
user default off
user proclabel on #$hash ~proclabel:* +eval +evalsha +hget +hset +hdel +hgetall +pexpire +info +ping
user health on nopass +ping
USERS

# Each container reads its own as a user of its own; the folder is closed to everybody else.
chmod 444 ./*
chmod 400 ca.key
echo "secrets are in $(pwd)"
