"""Owns where timm publishes the weights of a name; imports no timm: a child process does, for it imports torch."""

import json
import subprocess
import sys
from typing import Any, Final

from app.checkpoints import hub
from app.checkpoints.providers.extras import is_installed, missing
from app.errors import HubError, PackageError

SCHEME: Final = "timm"
_TIMEOUT_S: Final = 300
_CHILD: Final = (
    "import json, sys; name, *sys.path[:] = sys.argv[1:]; from app.checkpoints.providers.timm import published; "
    "print(json.dumps(published(name)))"
)


def download(name: str) -> hub.Snapshot:
    """`architecture.tag`, or an architecture alone for what timm itself takes, from the hub as timm fetches it.

    With a tag this needs no timm, unless its repository is somebody else's. Raises PackageError or HubError.
    """
    if "." in name:
        try:
            return hub.download(f"timm/{name}")
        except HubError:
            if not is_installed(SCHEME):
                raise
    elif not is_installed(SCHEME):
        raise missing(SCHEME, f"{SCHEME}:{name} (its default weights, as none are named behind a dot)")
    return hub.download(_repository(name))


def _repository(name: str) -> str:
    """Raises PackageError where timm has no such weights, or has them in no repository."""
    found = _asked(name)
    if found is None:
        raise PackageError(f"{SCHEME}:{name}: timm has no weights of that name; `timm.list_pretrained()` has the names")
    if found["repository"] is None:
        raise PackageError(
            f"{SCHEME}:{name}: timm has it in no repository, but at {found['url']}; name a folder where timm has saved "
            f"it: timm.models.save_for_hf(timm.create_model({name!r}, pretrained=True), FOLDER)"
        )
    return str(found["repository"])


def _asked(name: str) -> dict[str, Any] | None:
    command = [sys.executable, "-P", "-c", _CHILD, name, *sys.path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        found: dict[str, Any] | None = json.loads(done.stdout.strip().rpartition("\n")[2])
    except (subprocess.TimeoutExpired, ValueError) as error:
        last = "" if isinstance(error, subprocess.TimeoutExpired) else done.stderr.strip().rpartition("\n")[2]
        raise PackageError(f"timm could not be asked for {name!r}: {last or 'it does not answer'}") from error
    return found
