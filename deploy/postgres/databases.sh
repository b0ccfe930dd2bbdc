#!/usr/bin/env bash
# One database for each service, owned by a role of its own, which nobody but that role and the superuser can connect to,
# with the passwords that `passwords` has put into a volume. Run when the server's data directory has just been made, and
# again at each start: what is there already stays, and the passwords are set anew.
set -euo pipefail
secrets=${DMP_SECRETS_DIR:-/secrets}
ask() {
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres "$@"
}

for context in ingest identity stats; do
  # The password goes by the environment: arguments can be read by others.
  ROLE="dmp_$context" ROLE_PASSWORD=$(<"$secrets/$context") ask <<'SQL'
\getenv role ROLE
\getenv password ROLE_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'role', :'role')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SQL
done

# A role has no business in the databases of the server itself; what reads the server's metrics has, and in no other.
SUPERUSER=${POSTGRES_USER:-postgres} SUPERUSER_PASSWORD=$(<"$secrets/superuser") \
  EXPORTER_PASSWORD=$(<"$secrets/exporter") ask <<'SQL'
\getenv superuser SUPERUSER
\getenv password SUPERUSER_PASSWORD
\getenv exporter_password EXPORTER_PASSWORD
ALTER ROLE :"superuser" PASSWORD :'password';
SELECT 'CREATE ROLE dmp_exporter LOGIN CONNECTION LIMIT 5'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dmp_exporter') \gexec
ALTER ROLE dmp_exporter PASSWORD :'exporter_password';
GRANT pg_monitor TO dmp_exporter;
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO dmp_exporter;
SQL
