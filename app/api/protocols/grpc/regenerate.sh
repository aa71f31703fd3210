#!/usr/bin/env bash
# Makes open_inference_pb2.py and its types anew from open_inference.proto. Usage: regenerate.sh [PYTHON]
# The compiler's version decides which protobuf can read them: that one and newer, to the end of the next major version.
set -euo pipefail
cd "$(dirname "$0")"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${1:-python3}" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'grpcio-tools==1.81.1'
"$place/venv/bin/python" -m grpc_tools.protoc -I. --python_out=. --pyi_out=. open_inference.proto
sed -i 's|^"""Generated protocol buffer code."""$|"""Owns the messages of open_inference.proto, made by regenerate.sh; does not hold a line written by hand."""|' \
  open_inference_pb2.py
