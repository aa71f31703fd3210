"""Owns the finding of the network among the names of a training script's modules; does not read files."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.checkpoints.layouts import LAYOUTS
from app.checkpoints.rules import Layout, Match, match
from app.checkpoints.stored import StoredTensor
from app.errors import PackageError

_PATCH: Final = "patch_embed.proj.weight"
_FIRST_NORM: Final = "blocks.{i}.norm1.weight"
_HEAD: Final = "head.weight"
_SHELLS: Final = ("module", "_orig_mod")
_EMA: Final = re.compile(r"(\w+_)?ema(_\w+)?|averaged_model")
_PAIRS: Final = {"teacher": "student", "target_encoder": "encoder"}  # what is used after training → what learned
_METRIC: Final = r"loss|losses|metrics?|acc|accuracy|acc\d|top\d|top_\d|auroc|auc|f1|f1score|precision|recall|confmat"
# Modules of a training script that no network's answer passes through.
_AUXILIARY: Final = re.compile(rf"n_averaged$|(\w+_)?({_METRIC}|criterions?)(_\w+)?(\.|$)|mixup\w*\.")
# Those of pre-training; beside a head, the network's own or another, they might stand before or behind it.
_PRETRAINING: Final = re.compile(
    r"(projection|dino|ibot)_head\.|head\.(mlp|last_layer)\d*\.|(projector|predictor|decoder)\."
)
# What people call the layer that they put on a network without one; behind a dropout it is the second of a Sequential.
_HEAD_NAME: Final = re.compile(
    r"(?:\w+_)?(?:heads?|classifier|cls|fc|linear|output_layer|out|logits)(?:_\w+)?(?:\.(?:fc|head|linear|out_proj|[01]))?"
)

Tensors = Mapping[str, StoredTensor]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a network's names begin, and what a layout makes of the names behind."""

    prefix: str
    found: Match
    outside: tuple[str, ...]  # keys elsewhere


def bare_network(tensors: Tensors) -> tuple[Tensors, tuple[str, ...]]:
    """The tensors under the names of a known layout, and what a person should be told of the way there.

    A prefix is taken off only as far as the rest is such a layout then; what does not pass into the answer, such as a
    loss, is left out. Where no layout is found all is left as it is.
    Raises PackageError if there are several networks and no name says which is meant, or if two keys would be one.
    """
    if adapter := next((key for key in tensors if re.search(r"\.lora_[A-Za-z]+[._]", key)), None):
        raise PackageError(
            f"{adapter!r} is of a LoRA adapter: merge it into its base network with "
            "PeftModel.merge_and_unload(), save that and name it"
        )
    anchors = _anchors(tensors)
    if not anchors:
        return tensors, ()
    if len(anchors) > 1:
        tensors, kept, remarks = _one_of(tensors, anchors)
    else:
        (kept,), remarks = anchors, []
    place = min(
        (_place(prefix, layout, tensors) for prefix, layout in anchors[kept]),
        key=lambda each: (len(each.found.unused) + len(each.outside), len(each.prefix)),
    )
    if set(place.prefix.split(".")) - {*_SHELLS, ""}:
        remarks.append(f"names are read without {place.prefix!r}")
    return _renamed(tensors, place, remarks)


def _anchors(keys: Collection[str]) -> dict[str, list[tuple[str, Layout]]]:
    """Each patch projection with the prefixes and layouts by which it may be named."""
    spelled = []
    for layout in LAYOUTS:
        names = {rule.ours: rule.theirs[0] for rule in layout.rules}
        if layout.format != "npz" and _PATCH in names and _FIRST_NORM in names:
            spelled.append((layout, names[_PATCH], names[_FIRST_NORM].replace("{i}", "0")))
    endings = tuple({patch for _, patch, _ in spelled})
    anchors: dict[str, list[tuple[str, Layout]]] = {}
    for key in keys:
        if not key.endswith(endings):
            continue
        for layout, patch, norm in spelled:
            prefix = key.removesuffix(patch)
            if prefix != key and (not prefix or prefix.endswith(".")) and prefix + norm in keys:
                anchors.setdefault(key, []).append((prefix, layout))
    return anchors


def _one_of(tensors: Tensors, anchors: Mapping[str, list[tuple[str, Layout]]]) -> tuple[Tensors, str, list[str]]:
    """The tensors without the networks that were not meant, the anchor of the one that was, and a remark."""
    parts = {key: min((p for p, _ in places), key=len).split(".")[:-1] for key, places in anchors.items()}
    level = 0
    while len({tuple(each[: level + 1]) for each in parts.values()}) == 1:
        level += 1
    roots = {key: "".join(f"{part}." for part in each[: level + 1]) for key, each in parts.items()}
    names = {key: each[level] if len(each) > level else "" for key, each in parts.items()}
    kept = [key for key, name in names.items() if _EMA.fullmatch(name)]
    if not kept and len(names) == 2:
        kept = [key for key, name in names.items() if _PAIRS.get(name) in names.values()]
    if len(kept) != 1 or len(set(roots.values())) < len(roots):
        listed = ", ".join(sorted(repr(root or "no prefix") for root in roots.values()))
        raise PackageError(
            f"there are several networks in it ({listed}); save the one to serve alone, such as "
            "torch.save(model.state_dict(), …)"
        )
    root, lost = roots[kept[0]], tuple(each for key, each in roots.items() if key != kept[0])
    rest = {key: each for key, each in tensors.items() if key.startswith(root) or not key.startswith(lost)}
    listed = ", ".join(repr(each or "no prefix") for each in lost)
    return rest, kept[0], [f"of several networks the one under {root!r} is taken, not {listed}"]


def _place(prefix: str, layout: Layout, keys: Iterable[str]) -> _Place:
    inside = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    return _Place(prefix, match(layout, inside), tuple(key for key in keys if not key.startswith(prefix)))


def _renamed(tensors: Tensors, place: _Place, remarks: list[str]) -> tuple[Tensors, tuple[str, ...]]:
    """The network's tensors under its layout's names, the head too, and of the others those that may matter."""
    beside = [*place.outside, *(place.prefix + key for key in place.found.unused)]
    auxiliary = {key for key in beside if _AUXILIARY.match(_relative(key, place.prefix))}
    unplaced = [key for key in beside if key not in auxiliary]
    headless = _HEAD not in place.found.sources
    if headless and all(_PRETRAINING.match(_relative(key, place.prefix)) for key in unplaced):
        auxiliary, unplaced = {*beside}, []
    inside = {
        key.removeprefix(place.prefix): each
        for key, each in tensors.items()
        if key.startswith(place.prefix) and key not in auxiliary
    }
    counts = Counter(key.removesuffix(_relative(key, place.prefix).partition(".")[2]) for key in auxiliary)
    remarks += [f"left out: {name!r}, {n} of training's tensors" for name, n in sorted(counts.items())]
    outside = [key for key in place.outside if key not in auxiliary]
    if headless and (head := _head(tensors, unplaced, place)) is not None:
        own = {key: tensors[key] for key in unplaced}
        inside = {key: each for key, each in inside.items() if place.prefix + key not in own}
        inside = _with_head(inside, own, head, place)
        remarks.append(f"assumed: {head!r} is the head, and reads the class token (or the average) of the network")
        return inside, tuple(remarks)
    for key in outside:
        if key in inside or match(place.found.layout, [key]).sources:
            raise PackageError(
                f"{key!r} and the network under {place.prefix!r} would get names of one network; save that alone"
            )
    return {**inside, **{key: tensors[key] for key in outside}}, tuple(remarks)


def _relative(key: str, prefix: str) -> str:
    """A key as its module is called where it stands beside the network's, or beside what holds the network."""
    parts, ours = key.split("."), prefix.split(".")[:-1]
    level = 0
    while level < min(len(parts) - 1, len(ours)) and parts[level] == ours[level]:
        level += 1
    return ".".join(parts[level:])


def _head(tensors: Tensors, keys: Collection[str], place: _Place) -> str | None:
    """The name of the one linear layer that is left; None if what is left is anything else."""
    width = tensors[place.prefix + str(place.found.sources["blocks.0.norm1.weight"].keys[0])].shape
    weight = next((key for key in keys if key.endswith(".weight")), "")
    name = weight.removesuffix(".weight")
    if not weight or set(keys) - {weight, f"{name}.bias"} or not _HEAD_NAME.fullmatch(_relative(name, place.prefix)):
        return None
    return name if len(tensors[weight].shape) == 2 and tensors[weight].shape[1:] == width else None


def _with_head(inside: Tensors, own: Tensors, head: str, place: _Place) -> dict[str, StoredTensor]:
    """The tensors in the names of a layout of the same format that has a place for the head as well."""
    patch = str(place.found.sources[_PATCH].keys[0])
    best: tuple[int, dict[str, StoredTensor]] | None = None
    for layout in LAYOUTS:
        names = {rule.ours: rule.theirs[0] for rule in layout.rules}
        if layout.format != place.found.layout.format or _HEAD not in names or _PATCH not in names:
            continue
        prefix = names[_PATCH].removesuffix(patch)
        renamed = {f"{prefix}{key}": each for key, each in inside.items()}
        renamed |= {names[f"head.{key.rpartition('.')[2]}"]: each for key, each in own.items()}
        found = match(layout, renamed)
        if found.sources.keys() >= place.found.sources.keys() and (best is None or len(found.unused) < best[0]):
            best = len(found.unused), renamed
    if best is None:
        raise PackageError(
            f"{head!r} may read the pooler's output or the class token, and nothing in it says which; "
            "save it without the pooler if that is not used, or fold both into one network"
        )
    return best[1]
