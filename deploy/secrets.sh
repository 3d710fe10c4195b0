#!/bin/sh
# Makes the secrets of deploy/compose.yaml at the first start, each in a volume of its own: a
# container sees no other's. Runs as root, once, before the others.
#
#   /coordinator/tokens/*.token     all of them; the coordinator makes those that are missing
#   /agent/agent.token              for a device to join
#   /prometheus/metrics.token       to scrape with
#   /grafana/admin.password         of Grafana's user "admin"
#
# An argument is put before these paths.
set -eu
umask 077
cd "${1:-}/"

random() {
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

# make FILE OWNER: a random secret, unless there is one.
make() {
    [ -s "$1" ] || random > "$1"
    chown "$2" "$1"
    chmod 0600 "$1"
}

# give FILE COPY OWNER: a copy that only its reader can read.
give() {
    cp "$1" "$2"
    chown "$3" "$2"
    chmod 0600 "$2"
}

FLEETMARK=10001:10001
PROMETHEUS=65534:65534
GRAFANA=472:0

mkdir -p coordinator/tokens
chmod 0700 coordinator/tokens
make coordinator/tokens/agent.token "$FLEETMARK"
make coordinator/tokens/metrics.token "$FLEETMARK"
chown "$FLEETMARK" coordinator coordinator/tokens agent-data

give coordinator/tokens/agent.token agent/agent.token "$FLEETMARK"
give coordinator/tokens/metrics.token prometheus/metrics.token "$PROMETHEUS"
make grafana/admin.password "$GRAFANA"
chmod 0755 agent prometheus grafana
