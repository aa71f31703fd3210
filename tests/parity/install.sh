#!/usr/bin/env bash
# Installs the libraries that the parity tests compare with, each into a folder of its own, outside the project's own
# environment: none of them may bring another torch. Usage: install.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
install() {  # install NAME ARGUMENT…
  local target=$folder/$1
  if [ -e "$target.done" ]; then return; fi
  rm -rf "$target"
  "$python" -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --target "$target" "${@:2}"
  touch "$target.done"
}
install timm --no-deps 'timm==1.0.31'
install torchvision --no-deps 'torchvision==0.29.1'  # of its compiled part nothing is loaded
install transformers4 'transformers==4.57.6'
install transformers5 'transformers==5.18.0'
