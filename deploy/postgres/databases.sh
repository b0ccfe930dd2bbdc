#!/usr/bin/env bash
# Run once by the image of PostgreSQL, when the server's data directory has just been made: one database for each service,
# owned by a role of its own, which nobody but that role and the superuser can connect to.
set -euo pipefail

for context in ingest identity stats; do
  variable="DMP_${context^^}_DATABASE_PASSWORD"
  : "${!variable:?is the password of the role dmp_$context}"
  # The password goes by the environment: arguments can be read by others.
  ROLE="dmp_$context" ROLE_PASSWORD="${!variable}" psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv role ROLE
\getenv password ROLE_PASSWORD
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SQL
done

# A role has no business in the databases of the server itself.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  --command 'REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC'
