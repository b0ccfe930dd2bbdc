#!/usr/bin/env bash
# Refuses the passwords that stand in docker-compose.yml, unless only this machine reaches the gateway.
set -euo pipefail

case "$DMP_HTTP_HOST" in
  127.* | localhost | ::1 | "[::1]") exit 0 ;;
esac
for password in $PASSWORDS; do
  if [[ $password == local-* ]]; then
    echo "DMP_HTTP_HOST=$DMP_HTTP_HOST lets other machines reach the gateway, but a password still has its default value, which" \
      "everybody can read. Set DMP_POSTGRES_PASSWORD, DMP_INGEST_DATABASE_PASSWORD, DMP_IDENTITY_DATABASE_PASSWORD," \
      "DMP_STATS_DATABASE_PASSWORD and DMP_VALKEY_PASSWORD in .env, or set DMP_HTTP_HOST=127.0.0.1." >&2
    exit 1
  fi
done
