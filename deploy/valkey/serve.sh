#!/bin/sh
# Serves with the users and the certificate of its volumes. Where `passwords` has decided so, it speaks TLS and nothing else.
# A new certificate is taken within a minute, without a restart. `serve.sh ping` says whether it answers.
set -eu
umask 077
secrets=${DMP_SECRETS_DIR:-/secrets}
certificates=${DMP_TLS_DIR:-/certificates}
own=${DMP_OWN_DIR:-/tmp/dmp}
mkdir -p "$own"

ask() { REDISCLI_AUTH=$(cat "$secrets/admin") valkey-cli -s "$own/valkey.sock" "$@"; }

if [ "${1-}" = ping ]; then
  [ "$(ask ping)" = PONG ]
  exit
fi

seen() { cksum "$certificates/cert.pem" "$certificates/key.pem"; }

keep() {
  taken=$(seen)
  while sleep "${DMP_LOOK_SECONDS:-60}"; do
    now=$(seen) || continue
    [ "$now" = "$taken" ] && continue
    if [ "$(ask config set tls-cert-file "$certificates/cert.pem" tls-key-file "$certificates/key.pem")" = OK ]; then
      taken=$now
    fi
  done
}

# The socket is in this container only.
{
  cat "$secrets/users.conf"
  printf 'unixsocket %s/valkey.sock\nunixsocketperm 700\n' "$own"
  if [ "$(cat "$secrets/tls")" = on ]; then
    printf 'port 0\ntls-port %s\ntls-auth-clients no\ntls-protocols "TLSv1.2 TLSv1.3"\n' "${DMP_PORT:-6379}"
    printf 'tls-cert-file %s/cert.pem\ntls-key-file %s/key.pem\n' "$certificates" "$certificates"
  else
    printf 'port %s\n' "${DMP_PORT:-6379}"
  fi
} >"$own/valkey.conf"
if [ "$(cat "$secrets/tls")" = on ]; then keep & fi
# The server takes the place of the shell, so that it is the server who is told to stop.
exec valkey-server "$own/valkey.conf" "$@"
