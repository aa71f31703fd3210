"""Owns whether the extra `ray` is installed, and what to say where it is not; does not use it."""

from importlib.util import find_spec
from typing import Final

from app.errors import SetupError

_NEEDED: Final = ("ray", "pyarrow", "fsspec")


def require_ray() -> None:
    """Raises SetupError, with the command that installs what is missing."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise SetupError(
            f"--ray needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed here: "
            "pip install 'vit-serve[ray]', on every node of the cluster"
        )
