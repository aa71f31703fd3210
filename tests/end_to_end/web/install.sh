#!/usr/bin/env bash
# Installs what package-lock.json pins, by its integrity, into a folder outside the tree. Usage: install.sh FOLDER
set -euo pipefail
here=$(dirname "$0") folder=$1
if cmp -s "$here/package-lock.json" "$folder/done"; then exit; fi
mkdir -p "$folder"
cp "$here/package.json" "$here/package-lock.json" "$folder"
npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent
cp "$here/package-lock.json" "$folder/done"
