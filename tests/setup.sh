#!/bin/sh
# Makes sure of the system packages: `setup.sh run` of what the build links with, `setup.sh test` of what the tests use besides,
# `setup.sh bench` of what the switch is measured against; what Debian starts of that by itself is stopped.
# Asks nothing, and takes no time when nothing is missing.
set -eu

missing=
need() { # PACKAGE, then a command that succeeds when it is there
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need pkg-config command -v pkg-config
need libopus-dev pkg-config --exists opus
if [ "${1:-run}" = test ]; then
    need baresip-core command -v baresip
    need sip-tester command -v sipp
    need linphone-cli command -v linphone-daemon
    need pulseaudio command -v pulseaudio
    need pulseaudio-utils command -v parecord
    need tshark command -v tshark
    need curl command -v curl
    need strace command -v strace
fi
if [ "${1:-run}" = bench ]; then
    need sip-tester command -v sipp
    need kamailio test -x /usr/sbin/kamailio
    need rtpengine-daemon command -v rtpengine
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true >/dev/null 2>&1; then
    root="sudo -n"
else
    root=none
fi
if [ "$root" = none ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Debian packages are missing and cannot be installed from here; as root: apt-get install$missing" >&2
    exit 1
fi

echo "Installing the missing Debian packages:$missing"
$root apt-get update -qq </dev/null
# shellcheck disable=SC2086 # words on purpose
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing </dev/null
if [ "${1:-run}" = bench ] && command -v systemctl >/dev/null 2>&1; then
    for service in kamailio rtpengine-daemon; do
        case "$missing" in *$service*) $root systemctl disable --now "$service" >/dev/null 2>&1 || true ;; esac
    done
fi
