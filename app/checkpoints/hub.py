"""Owns the way from a hub's repository to files on disk, through huggingface_hub; does not read what they hold.

That library keeps the cache and reads the environment (HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, proxies). It is
imported on use only: the start of a local model must not wait for it.
"""

import errno
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.checkpoints.shards import INDEXES, WHOLE, shards
from app.errors import HubError, PackageError

SCHEME: Final = "hf-hub"
_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+")
_DESCRIPTIONS: Final = ("config.json", "preprocessor_config.json")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository's files at one commit."""

    path: Path  # its name is the commit
    repository: str  # owner/name
    source: str  # hf-hub:owner/name@commit


def download(reference: str) -> Snapshot:
    """Makes `owner/name`, or `owner/name@revision` with a branch, tag or commit, available on disk.

    What lies in the cache is not fetched again, and a full commit takes no network at all then. Of a branch the hub is
    asked for the newest commit; if it cannot be reached, the one fetched last is taken. Raises HubError.
    """
    name, _, revision = reference.partition("@")
    if not _NAME.fullmatch(name) or ("@" in reference and not revision):
        raise HubError(f"{SCHEME}:{reference} is not of the form {SCHEME}:owner/name or {SCHEME}:owner/name@revision")
    folder = _fetch(name, revision or None, [*_DESCRIPTIONS, *INDEXES])
    commit = folder.name
    weights = _weights(name, folder, _files(name, commit, folder))
    if not all((folder / file).is_file() for file in weights):
        _fetch(name, commit, weights)
    return Snapshot(folder, name, f"{SCHEME}:{name}@{commit}")


def _fetch(name: str, revision: str | None, files: list[str]) -> Path:
    """The folder of the commit, with those of the files that there are."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    who = f"{SCHEME}:{name}"
    _progress_on_terminals_only()
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except GatedRepoError as error:
        raise HubError(
            f"{who} is gated: accept its terms on its page, then set HF_TOKEN to a token of that account"
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(f"{who}: there is no such repository, or it is private and HF_TOKEN gives no access") from error
    except RevisionNotFoundError as error:
        raise HubError(f"{who} has no branch, tag or commit {revision!r}") from error
    except LocalEntryNotFoundError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise HubError(f"{who} is not (wholly) in the cache, and the hub cannot be asked: {reason}") from error
    except HfHubHTTPError as error:
        raise HubError(f"{who}: the hub answered {error.response.status_code}: {_first_line(error)}") from error
    except HFValidationError as error:
        raise HubError(f"{who}: {_first_line(error)}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise HubError(f"{who}: the disk is full; HF_HOME names the folder of the cache") from error
        raise HubError(f"{who}: the files cannot be fetched or kept: {_first_line(error)}") from error
    except Exception as error:  # what the HTTP client raises changes with its version and is no part of a contract
        raise HubError(f"{who}: the download failed: {type(error).__name__}: {_first_line(error)}") from error


def _files(name: str, commit: str, folder: Path) -> frozenset[str]:
    """The repository's files at the commit, from the listing that is cached beside them."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return frozenset(file.path for file in get_cached_repo_tree(name, revision=commit))
    except CachedRepoTreeNotFoundError as error:
        raise HubError(f"{folder} was made by an older huggingface_hub and lists no files; fetch it again") from error


def _weights(name: str, folder: Path, files: frozenset[str]) -> list[str]:
    """What to fetch: safetensors before pickles, one file before shards."""
    for whole, index in zip(WHOLE, INDEXES, strict=True):
        if whole in files:
            return [whole]
        if index in files:
            return _shards(folder / index, files)
    listing = ", ".join(sorted(files)[:12]) or "no files"
    raise HubError(f"{SCHEME}:{name} holds neither {' nor '.join(WHOLE)}, whole or in shards; it holds {listing}")


def _shards(index: Path, files: frozenset[str]) -> list[str]:
    try:
        names = sorted(set(shards(index).values()))
    except PackageError as error:
        raise HubError(str(error)) from error
    if missing := [shard for shard in names if shard not in files]:
        raise HubError(f"{index}: the repository lacks {', '.join(missing[:3])}")
    return names


def _progress_on_terminals_only() -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not sys.stderr.isatty():  # else the user has decided
        disable_progress_bars()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
