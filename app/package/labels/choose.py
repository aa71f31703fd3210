"""Owns which names a checkpoint's classes have; does not hold names of its own."""

import re
from collections.abc import Mapping
from typing import Any, Final

from app.package.labels.imagenet import LabelSet, imagenet_labels, imagenet_name, unique_names
from app.package.values import items, mapping

_WORDNET_ID: Final = re.compile(r"n\d{8}")
_PLACEHOLDER: Final = re.compile(r"LABEL_\d+")  # what Hugging Face writes where nobody named the classes
_SAME_SHARE: Final = 0.95  # of first lemmas; some files correct or shorten a few


def choose_labels(
    config: Mapping[str, Any], num_classes: int, class_indices: Mapping[str, Any] | None = None
) -> LabelSet:
    """The checkpoint's own names, else ImageNet's if the count is one of its, else class_0, class_1 …

    `config` is timm's (`label_names`, `label_descriptions`, at the top or in `pretrained_cfg`) or Hugging Face's
    (`id2label`, read by index and never through `label2id`, which has one of two cranes only); `class_indices` what
    the tutorial writes beside its weights. Raises ValueError or TypeError if names and classes differ in number.
    """
    pretrained = config.get("pretrained_cfg") or {}
    places: list[Mapping[str, Any]] = [config, mapping(pretrained, "pretrained_cfg")]
    for key in ("label_names", "labels"):
        for place in places:
            if (names := place.get(key)) is not None:
                return _from_timm(_in_order(names, key, num_classes), places)
    for key, names in (("id2label", config.get("id2label")), ("class_indices", class_indices)):
        if names is not None:
            texts = _in_order(names, key, num_classes)
            if not all(map(_PLACEHOLDER.fullmatch, texts)):
                return _recognised(texts)
    return imagenet_labels(num_classes) or LabelSet(tuple(f"class_{i}" for i in range(num_classes)))


def _in_order(names: Any, key: str, num_classes: int) -> tuple[str, ...]:
    """A list, or an object whose keys are the indices."""
    if not isinstance(names, dict):
        return tuple(map(str, items(names, key, num_classes)))
    by_index = {str(index): str(name) for index, name in names.items()}
    if missing := [i for i in range(num_classes) if str(i) not in by_index]:
        raise ValueError(f"{key} has no name for class {missing[0]} of {num_classes}")
    if len(by_index) != num_classes:
        raise ValueError(f"there are {len(by_index)} {key} values where {num_classes} are needed")
    return tuple(by_index[str(i)] for i in range(num_classes))


def _from_timm(names: tuple[str, ...], places: list[Mapping[str, Any]]) -> LabelSet:
    """Names that are WordNet ids are shown as their description, or as their lemmas."""
    if not all(map(_WORDNET_ID.fullmatch, names)):
        return _recognised(names)
    stated = [place["label_descriptions"] for place in places if place.get("label_descriptions")]
    descriptions = mapping(stated[0], "label_descriptions") if stated else {}
    texts = tuple(str(descriptions[id]) if id in descriptions else imagenet_name(id) for id in names)
    return LabelSet(unique_names(texts, names), names)


def _recognised(names: tuple[str, ...]) -> LabelSet:
    """Names that are ImageNet's in its order keep their words and get its ids."""
    known = imagenet_labels(len(names))
    if known is None:
        return LabelSet(names)
    pairs = zip(names, known.ids, strict=True)
    same = sum(_first_word(name) == _first_word(imagenet_name(id)) for name, id in pairs)
    if same < _SAME_SHARE * len(names):
        return LabelSet(names)
    return LabelSet(unique_names(names, known.ids), known.ids)


def _first_word(text: str) -> str:
    return text.partition(",")[0].strip().lower()
