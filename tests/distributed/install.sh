#!/usr/bin/env bash
# Makes an environment with Ray that sees all that the project's own has, which stays as it is.
# Usage: install.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
if [ -e "$folder.done" ]; then exit; fi
"$python" -m venv --clear "$folder"
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'ray[serve]==2.60.0' 'pyarrow>=21' 'fsspec>=2025.3'
touch "$folder.done"
