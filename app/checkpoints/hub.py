"""Owns the way from a hub's repository to files on disk, through huggingface_hub; does not read what they hold.

That library keeps the cache and reads the environment (HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, proxies). It is
imported on use only: the start of a local model must not wait for it.
"""

import errno
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.checkpoints.kinds import ADAPTER, adapter_alone
from app.checkpoints.shards import INDEXES, ORDER, WHOLE, other_weights, shards
from app.errors import HubError, PackageError
from app.package.config import read_json

logger = logging.getLogger(__name__)

SCHEME: Final = "hf-hub"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
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
    folder = _whole(name, revision) or _fetch(
        name, revision or None, [*_DESCRIPTIONS, "processor_config.json", ADAPTER, *INDEXES]
    )
    commit = folder.name
    listed = _listing(name, commit)
    if listed is None:
        weights = _weights(name, folder, _cached(folder), "the cache, without the hub,")
        for file in _uncertain(name, folder):
            logger.warning("%s:%s: %s is not in the cache, and may be in the repository", SCHEME, name, file)
    else:
        weights = _weights(name, folder, listed, "the repository")
    if not all((folder / file).is_file() for file in weights):
        _fetch(name, commit, weights)
    return Snapshot(folder, name, f"{SCHEME}:{name}@{commit}")


@contextmanager
def offline() -> Iterator[None]:
    """Inside it no library can ask the hub: what a folder's files name besides is not what a person asked for."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


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
            f"{who} is gated: accept its terms on its page, then log in to that account: `hf auth login`, or set "
            "HF_TOKEN to a token of it"
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{who}: there is no such repository, or it is private: log in to an account that may read it, "
            "`hf auth login`, or set HF_TOKEN to a token of it"
        ) from error
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


def _listing(name: str, commit: str) -> frozenset[str] | None:
    """The repository's files at the commit, from the listing that is cached beside them.

    None: no listing was kept. Older versions of the library kept none, and its download of single files, by which
    transformers fills the cache, keeps none; with a network it is fetched before this is asked.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return frozenset(file.path for file in get_cached_repo_tree(name, revision=commit))
    except CachedRepoTreeNotFoundError:
        return None


def _cached(folder: Path) -> frozenset[str]:
    """The files of a commit that lie in the cache."""
    return frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _whole(name: str, revision: str) -> Path | None:
    """The folder of a full commit that lies in the cache without a listing, if all that is needed is there.

    The hub would be asked for the listing first, and without a network for half a minute.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if not _COMMIT.fullmatch(revision):
        return None
    try:
        config = try_to_load_from_cache(name, _DESCRIPTIONS[0], revision=revision)
    except HFValidationError:  # which fetching will tell
        return None
    if not isinstance(config, str) or _listing(name, revision) is not None:
        return None
    folder = Path(config).parent
    try:
        _weights(name, folder, _cached(folder), "the cache")
    except HubError:
        return None
    return None if _uncertain(name, folder) else folder


def _uncertain(name: str, folder: Path) -> list[str]:
    """What may be missing from a cache that lists no files; what was asked for in vain is marked in it."""
    from huggingface_hub import try_to_load_from_cache

    config = folder / _DESCRIPTIONS[0]
    try:
        timms = config.is_file() and "architecture" in read_json(config)
    except PackageError as error:
        raise HubError(str(error)) from error
    wanted = _DESCRIPTIONS[:1] if timms else _DESCRIPTIONS
    return [file for file in wanted if try_to_load_from_cache(name, file, revision=folder.name) is None]


def _weights(name: str, folder: Path, files: frozenset[str], where: str) -> list[str]:
    """What to fetch: safetensors before pickles, one file before shards; else the only file of weights."""
    for whole, index in ORDER:
        if whole in files:
            return [whole]
        if index in files:
            return _shards(folder / index, files, where)
    others = other_weights(file for file in files if "/" not in file)
    if len(others) == 1:
        return others
    if ADAPTER in files and (folder / ADAPTER).is_file():
        raise HubError(f"{SCHEME}:{name} is {adapter_alone(folder / ADAPTER)}")
    listing = ", ".join(map(repr, sorted(files)[:12])) or "no files"
    raise HubError(f"{SCHEME}:{name}: {where} holds neither {' nor '.join(WHOLE)}, whole or in shards; but {listing}")


def _shards(index: Path, files: frozenset[str], where: str) -> list[str]:
    try:
        names = sorted(set(shards(index).values()))
    except PackageError as error:
        raise HubError(str(error)) from error
    if missing := [shard for shard in names if shard not in files]:
        raise HubError(f"{index}: {where} lacks {', '.join(map(repr, missing[:3]))}")
    return names


def _progress_on_terminals_only() -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not sys.stderr.isatty():  # else the user has decided
        disable_progress_bars()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
