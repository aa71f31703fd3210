#!/usr/bin/env bash
# Makes an environment with the clients of other servers, as their users have them; the project's own stays as it is.
# Usage: install.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
clients=('tritonclient[http,grpc]==2.73.0' 'kserve==0.21.0' 'huggingface_hub>=2.4,<3' 'openai==3.57.0')
if [ "$(cat "$folder.done" 2>/dev/null)" = "${clients[*]}" ]; then exit; fi
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${clients[@]}"
echo "${clients[*]}" >"$folder.done"
