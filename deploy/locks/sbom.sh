#!/usr/bin/env bash
# What each image has of Python's packages, by its locks, as CycloneDX: sbom.sh CYCLONEDX-PY FOLDER
# Debian's packages are the base image's: `docker buildx bake` attests them, or ask a scanner of images.
set -euo pipefail
tool=$(realpath "$1") out=$(realpath -m "$2")
cd "$(dirname "$0")"
mkdir -p "$out"

list() {  # list IMAGE LOCK…
  local image=$1; shift
  cat "$@" | PYTHONWARNINGS=ignore "$tool" requirements --pyproject ../../pyproject.toml --output-reproducible \
    --output-format JSON --output-file - - >"$out/vit-serve-$image.cdx.json"
  echo "$out/vit-serve-$image.cdx.json"
}

list openvino runtime.txt
list torch runtime.txt torch.txt torch-cpu.txt
list cuda runtime.txt torch.txt torch-cuda.txt
# The tool takes one index for all; this build is on torch's.
sed -i 's#https://pypi.org/simple/torch/#https://download.pytorch.org/whl/cpu/torch/#' "$out/vit-serve-torch.cdx.json"
