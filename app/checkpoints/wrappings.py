"""Owns the taking of a state dict out of what training scripts put around it; does not read files."""

import re
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from app.checkpoints.stored import MOST_TENSORS

_DEPTH: Final = 4
# The first two are those that timm's load_checkpoint takes; an average of the weights is what was meant to be used.
_EMA: Final = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model_state_dict"),
    *("model_state_dict_ema", "ema_model", "ema_weights", "ema_params", "params_ema", "ema_net", "net_ema", "ema"),
)
_ORDER: Final = (*_EMA, "state_dict", "model", "model_state_dict")  # after an average, as timm's load_checkpoint
# Dictionaries of tensors that are no network's: of optimizers, schedulers, loaders and records.
_BESIDE: Final = re.compile(
    r"(\w+_)?(optim(izers?)?|(lr_)?schedulers?|scaler|callbacks|loops|hyper_parameters|hparams|config|cfg|args|rng"
    r"|random|meta|metadata|history|amp|sampler|loader)(_states?)?(_dict)?"
)

State = dict[str, Tensor]
_Found = tuple[State, list[str]]


def unwrapped(document: Mapping[Any, Any]) -> _Found:
    """The tensors by name, and what a person should be told of the choice; what is no tensor is left out.

    Of several dictionaries of tensors one is taken where its name says so; else they are all taken, each under its
    name and a dot: whoever knows networks tells then what belongs together.
    """
    return _unwrapped(document, _DEPTH, {})


def _unwrapped(document: Mapping[Any, Any], depth: int, seen: dict[int, _Found]) -> _Found:
    own = {name: value for name, value in document.items() if isinstance(name, str) and isinstance(value, Tensor)}
    inner = _inner(document, depth, seen)
    if not inner:
        return own, []
    most = max(len(state) for state, _ in inner.values())
    if len(own) >= most:
        return own, [f"left out: {name!r}, which holds tensors, too" for name in inner]
    known = list(inner) if len(inner) == 1 else _ORDER
    chosen = next((name for name in known if name in inner and 2 * len(inner[name][0]) >= most), None)
    if chosen is None:
        joined = {name: value for name, value in own.items() if value.ndim}
        for name, (state, _) in inner.items():
            if len(joined) <= MOST_TENSORS:
                joined |= {f"{name}.{key}": value for key, value in state.items()}
        return joined, [remark for _, remarks in inner.values() for remark in remarks]
    state, remarks = inner[chosen]
    return state, [*_choice(document, chosen, [name for name in inner if name != chosen]), *remarks]


def _inner(document: Mapping[Any, Any], depth: int, seen: dict[int, _Found]) -> dict[str, _Found]:
    """What is found in each dictionary within; each is looked into once, however often a file refers to it."""
    found = {}
    for name, value in document.items():
        if depth and isinstance(name, str) and isinstance(value, dict) and not _BESIDE.fullmatch(name):
            if id(value) not in seen:
                seen[id(value)] = {}, []  # for a dictionary that holds itself
                seen[id(value)] = _unwrapped(value, depth - 1, seen)
            if seen[id(value)][0]:
                found[name] = seen[id(value)]
    return found


def _choice(document: Mapping[Any, Any], chosen: str, others: list[str]) -> list[str]:
    listed = ", ".join(map(repr, others))
    if chosen in _EMA:
        return [f"the averaged weights (EMA) are taken, {chosen!r}" + (f", not {listed}" if others else "")]
    unnamed = [name for name in _EMA if isinstance(document.get(name), dict | list) and name not in others]
    remarks = [f"the averaged weights in {name!r} have no names and are left out" for name in unnamed if document[name]]
    return [*remarks, f"the weights are taken from {chosen!r}, not {listed}"] if others else remarks
