"""Owns ImageNet's class names and WordNet ids by index; does not decide which model has them."""

import functools
import lzma
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
# Of Google's 21,843 synsets the release fall11 has 21,841; these two, index 9205 and 15027, are missing.
_NOT_IN_FALL11: Final = ("n03931044", "n09859684")
# The one pair of ImageNet-1k whose lemmas are the same word and nothing else.
_OWN_NAMES: Final = {"n02012849": "crane (bird)", "n03126707": "crane (machine)"}


@dataclass(frozen=True, slots=True)
class LabelSet:
    """One name for each row of the head; `ids` are WordNet's where all rows have one, else empty."""

    names: tuple[str, ...]
    ids: tuple[str, ...] = ()


def imagenet_labels(num_classes: int) -> LabelSet | None:
    """ImageNet-1k for 1000 classes, ImageNet-21k for 21,841 or 21,843, None for any other count. Names are unique."""
    match num_classes:
        case 1000:
            return _named(_lemmas("imagenet1k"))
        case 21843:
            return _named(_lemmas("imagenet21k"))
        case 21841:
            return _named({id: text for id, text in _lemmas("imagenet21k").items() if id not in _NOT_IN_FALL11})
    return None


def imagenet_name(wordnet_id: str) -> str:
    """A synset's lemmas, or the id itself if ImageNet does not have it."""
    return _lemmas("imagenet1k").get(wordnet_id) or _lemmas("imagenet21k").get(wordnet_id, wordnet_id)


def unique_names(names: tuple[str, ...], ids: tuple[str, ...]) -> tuple[str, ...]:
    """Names that several rows share get told apart, by a word where we have one, else by the id."""
    count = Counter(names)
    return tuple(
        name if count[name] == 1 else _OWN_NAMES.get(id, f"{name} ({id})") for name, id in zip(names, ids, strict=True)
    )


def _named(lemmas: Mapping[str, str]) -> LabelSet:
    """The first lemma where no other synset begins with it, else all of them."""
    first = {id: text.partition(", ")[0] for id, text in lemmas.items()}
    count = Counter(first.values())
    ids = tuple(lemmas)
    names = tuple(first[id] if count[first[id]] == 1 else lemmas[id] for id in ids)
    return LabelSet(unique_names(names, ids), ids)


@functools.cache
def _lemmas(name: str) -> Mapping[str, str]:
    """WordNet id → lemmas, in index order."""
    text = lzma.decompress((_FOLDER / f"{name}.tsv.xz").read_bytes()).decode()
    return dict(line.split("\t") for line in text.splitlines())
