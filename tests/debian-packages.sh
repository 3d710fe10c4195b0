#!/bin/sh
# Installs what the tests need from Debian, if this is Debian and we may.
set -eu

missing=""
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing="$missing prometheus"
command -v chromium >/dev/null || missing="$missing chromium"
command -v npm >/dev/null || missing="$missing npm"
command -v openssl >/dev/null || missing="$missing openssl"
command -v ip >/dev/null || missing="$missing iproute2"
command -v yamllint >/dev/null || missing="$missing yamllint"
command -v shellcheck >/dev/null || missing="$missing shellcheck"
# Checks a compose file without an engine; what comes with Docker is as good.
docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null \
    || missing="$missing docker-compose"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed:$missing; the tests that need them will skip"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
