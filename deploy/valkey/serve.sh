#!/bin/sh
# Serves with the password of the environment, which goes in by standard input: others can read arguments. The server
# takes the place of the shell, so that it is the server who is told to stop.
set -eu
umask 077
exec valkey-server - "$@" <<CONFIGURATION
requirepass "$DMP_VALKEY_PASSWORD"
CONFIGURATION
