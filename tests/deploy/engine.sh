#!/usr/bin/env bash
# A Docker engine and the Dockerfile's base image, on a Debian machine that has neither. Run as root.
#   engine.sh up      start an engine if none answers, and install it first if there is none
#   engine.sh base    pull the base image; where no registry can be reached, make a stand-in from Debian's packages
#   engine.sh down    stop the engine that `up` started
# The stand-in is Debian with its own Python 3.11, and trusts what this machine trusts. It is no substitute for the real
# image's exact contents, but the Dockerfile is built and run for real on it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
state=${TMPDIR:-/tmp}/vit-serve-engine
mkdir -p "$state"

install() {  # install PACKAGE…: those that are missing
  local missing=()
  for package in "$@"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} -eq 0 ] && return
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$state/apt.log" 2>&1 \
    || { tail -n 20 "$state/apt.log" >&2; return 1; }
}

up() {
  docker info >/dev/null 2>&1 && { echo "engine: answers"; return; }
  command -v dockerd >/dev/null && command -v docker >/dev/null || install docker.io
  setsid dockerd >"$state/dockerd.log" 2>&1 </dev/null &
  echo $! >"$state/pid"
  for _ in $(seq 60); do
    docker info >/dev/null 2>&1 && { echo "engine: started"; return; }
    sleep 1
  done
  tail -n 20 "$state/dockerd.log" >&2
  echo "engine: did not start" >&2
  return 1
}

base() {
  # The image by its digest, under its tag alone, which is what the tests build on: a stand-in cannot have the digest.
  local image tag; image=$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$here/../../Dockerfile"); tag=${image%@*}
  docker image inspect "$tag" >/dev/null 2>&1 && { echo "base: $tag is there"; return; }
  timeout 180 docker pull -q "$image" >"$state/pull.log" 2>&1 && docker tag "$image" "$tag" \
    && { echo "base: pulled $image"; return; }
  install mmdebstrap
  # In memory where there is room: dpkg waits for the disk after every file, and that is most of its time.
  local room=$state
  [ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt 2000 ] 2>/dev/null && room=/dev/shm
  TMPDIR=$room mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    --customize-hook='ln -s python3 "$1/usr/bin/python"' \
    --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' \
    bookworm "$state/base.tar" 2>"$state/mmdebstrap.log" || { tail -n 20 "$state/mmdebstrap.log" >&2; return 1; }
  # pip brings certificates of its own and would not look at the system's.
  docker import -c "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt" "$state/base.tar" "$tag" >/dev/null
  rm -f "$state/base.tar"
  echo "base: made a stand-in for $tag"
}

down() {
  local pid; pid=$(cat "$state/pid" 2>/dev/null) || return 0
  rm -f "$state/pid"
  # The number may have gone to another process since.
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 0
  kill "$pid"
  for _ in $(seq 30); do [ -d "/proc/$pid" ] || { echo "engine: stopped"; return; }; sleep 1; done
  echo "engine: still stopping" >&2
}

case ${1:-} in
  up | base | down) "$1" ;;
  *) sed -n '2,5p' "$0" >&2; exit 2 ;;
esac
