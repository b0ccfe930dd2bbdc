#!/bin/sh
# Puts the programs that tests need, and no package index brings, into a directory: those of this machine, or Debian's
# packages, unpacked with the libraries that are missing here. It needs no root and changes nothing outside of it.
set -eu
into=$1
programs="prometheus promtool prometheus-postgres-exporter prometheus-redis-exporter prometheus-node-exporter redis-server redis-cli"
packages="prometheus prometheus-postgres-exporter prometheus-redis-exporter prometheus-node-exporter redis-server redis-tools"
mkdir -p "$into/bin"
missing=""
for name in $programs; do
  if found=$(command -v "$name"); then ln -sf "$found" "$into/bin/$name"; else missing="$missing $name"; fi
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "Some tests need these programs on the PATH:$missing (Prometheus from 2.42 on, Redis 7 or Valkey with TLS)." >&2
  exit 1
fi
into=$(cd "$into" && pwd)
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial" "$into/root"
own="-qq -o Dir::State::Lists=$lists/lists -o Dir::Cache=$lists/cache -o Debug::NoLocking=1 -o APT::Sandbox::User="
cd "$lists"
# shellcheck disable=SC2086 # these are several words
apt-get $own update
# With what they depend on and this machine lacks; nothing of it is installed.
# shellcheck disable=SC2086 # as above
apt-get $own --yes --no-install-recommends --download-only install $packages
for package in cache/archives/*.deb; do dpkg-deb -x "$package" "$into/root"; done
for name in $missing; do ln -sf "$into/root/usr/bin/$name" "$into/bin/$name"; done
