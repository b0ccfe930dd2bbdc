#!/bin/sh
# Puts `prometheus` and `promtool` into a directory, for the tests of alerts: those of this machine, or Debian's package,
# unpacked. It needs no root and changes nothing outside of the directory.
set -eu
into=$1
mkdir -p "$into"
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  for name in prometheus promtool; do ln -sf "$(command -v $name)" "$into/$name"; done
elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  lists=$(mktemp -d)
  trap 'rm -rf "$lists"' EXIT
  mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
  own="-qq -o Dir::State::Lists=$lists/lists -o Dir::Cache=$lists/cache -o Debug::NoLocking=1 -o APT::Sandbox::User="
  # shellcheck disable=SC2086 # these are several words
  (cd "$lists" && apt-get $own update && apt-get $own download prometheus && dpkg-deb -x prometheus_*.deb unpacked)
  for name in prometheus promtool; do mv -f "$lists/unpacked/usr/bin/$name" "$into/$name"; done
else
  echo "The tests of alerts need Prometheus: put 'prometheus' and 'promtool' on the PATH (any release from 2.42 on)." >&2
  exit 1
fi
