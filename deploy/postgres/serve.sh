#!/usr/bin/env bash
# Starts PostgreSQL as its image does, with the passwords and the certificate of its volumes. Where `passwords` has decided
# so, it speaks TLS and nothing else. A new certificate is taken within a minute, without a restart.
set -euo pipefail
umask 077
secrets=${DMP_SECRETS_DIR:-/secrets}
certificates=${DMP_TLS_DIR:-/certificates}
own=${DMP_OWN_DIR:-/tmp/dmp}
databases=${DMP_DATABASES_SCRIPT:-/docker-entrypoint-initdb.d/databases.sh}
mkdir -p "$own"

# PostgreSQL takes a key only if it belongs to its own user, who alone can read it.
take_certificate() {
  for file in key.pem cert.pem; do
    cp "$certificates/$file" "$own/.$file.new" && chmod 600 "$own/.$file.new" && mv "$own/.$file.new" "$own/$file"
  done
}

is_new() {
  ! { cmp -s "$certificates/cert.pem" "$own/cert.pem" && cmp -s "$certificates/key.pem" "$own/key.pem"; }
}

kind=host
options=(-c "hba_file=$own/hba.conf")
if [[ $(<"$secrets/tls") == on ]]; then
  kind=hostssl
  take_certificate
  options+=(-c ssl=on -c "ssl_cert_file=$own/cert.pem" -c "ssl_key_file=$own/key.pem" -c ssl_min_protocol_version=TLSv1.2)
fi
# The socket is in this container only; whoever comes over the network has a password.
printf '%s\n' 'local all all trust' 'local replication all trust' "$kind all all all scram-sha-256" >"$own/hba.conf"

keep() {
  # By TCP: while the data directory is made, there is a server on the socket.
  until pg_isready --quiet --host=127.0.0.1 --username="${POSTGRES_USER:-postgres}"; do sleep 1; done
  bash "$databases" || echo "serve.sh: the passwords could not be set" >&2
  while sleep "${DMP_LOOK_SECONDS:-60}"; do
    if [[ $kind == hostssl ]] && is_new; then
      take_certificate && kill -HUP "$server"
    fi
  done
}

server=$$ # which becomes PostgreSQL
keep &
POSTGRES_PASSWORD=$(<"$secrets/superuser")
export POSTGRES_PASSWORD
exec docker-entrypoint.sh postgres "$@" "${options[@]}"
