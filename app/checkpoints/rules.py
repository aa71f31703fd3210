"""Owns the language of key maps and their application in both directions; does not know any format's names."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import isqrt
from typing import Any, Final

import torch
from torch import Tensor

_PLACEHOLDER: Final = re.compile(r"\{(\w)(\+1)?\}")


@dataclass(frozen=True, slots=True)
class Dims:
    """What a tensor's shape alone does not say when it is written in a foreign form."""

    num_heads: int
    reg_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Transform:
    """How foreign tensors become one of ours, and back; exact in both directions."""

    inward: Callable[[list[Tensor]], Tensor]
    outward: Callable[[Tensor, Dims], Sequence[Tensor | None]]  # None: another of our tensors says it


@dataclass(frozen=True)
class Rule:
    """One of our names and the foreign names it is made of.

    `{i}`, `{s}`, `{u}` stand for whole numbers; `{s+1}` is the same number where a format counts from one.
    """

    ours: str
    theirs: tuple[str, ...]
    transform: Transform

    @cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """What a foreign key must match, in the order of `theirs`."""
        return tuple(_compile(name) for name in self.theirs)

    @cached_property
    def our_pattern(self) -> re.Pattern[str]:
        """What one of our names must match."""
        return _compile(self.ours)


@dataclass(frozen=True, slots=True)
class Layout:
    """One spelling of one format."""

    format: str
    name: str
    rules: tuple[Rule, ...]
    ignored: Mapping[str, str] = field(default_factory=dict)  # foreign pattern → why the answer does not need it
    zeros: tuple[str, ...] = ()  # our names that are zero in every network of this layout, and not in its files
    constants: Mapping[str, Any] = field(default_factory=dict)  # of ViTConfig, what no tensor shows


@dataclass(frozen=True, slots=True)
class Source:
    """The foreign keys of one of our tensors, in the order that its transform takes them; None: not in the file."""

    keys: tuple[str | None, ...]
    wanted: tuple[str, ...]
    transform: Transform


@dataclass(frozen=True, slots=True)
class Match:
    """What a layout makes of a file's keys."""

    layout: Layout
    sources: Mapping[str, Source]  # by our name
    ignored: Mapping[str, str]  # key → reason
    unused: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Foreign keys that a tensor needs beside those that are there."""
        pairs = [pair for each in self.sources.values() for pair in zip(each.keys, each.wanted, strict=True)]
        return tuple(wanted for key, wanted in pairs if key is None)


def match(layout: Layout, keys: Iterable[str]) -> Match:
    """Finds each key's place; the order of keys does not matter."""
    places: dict[str, tuple[Rule, dict[str, int], list[str | None]]] = {}
    ignored: dict[str, str] = {}
    unused: list[str] = []
    index = _by_shape(layout)
    for key in keys:
        hits = _places(index.get(_shape(key), ()), key)
        if not hits:
            reason = next((text for name, text in layout.ignored.items() if re.fullmatch(name, key)), None)
            if reason is None:
                unused.append(key)
            else:
                ignored[key] = reason
            continue
        for rule, part, numbers in hits:
            ours = _fill(rule.ours, numbers)
            taken, _, found = places.setdefault(ours, (rule, numbers, [None] * len(rule.theirs)))
            if taken is rule:  # of two spellings the first key's
                found[part] = key
            else:
                unused.append(key)
    sources = {
        ours: Source(tuple(found), tuple(_fill(name, numbers) for name in rule.theirs), rule.transform)
        for ours, (rule, numbers, found) in places.items()
    }
    return Match(layout, sources, ignored, tuple(unused))


def write(layout: Layout, state: Mapping[str, Tensor], dims: Dims) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Our tensors under the layout's names, and those of our names that it has no place for."""
    written: dict[str, Tensor] = {}
    homeless = []
    for ours, tensor in state.items():
        for rule in layout.rules:
            if (numbers := _numbers(rule.ours, rule.our_pattern, ours)) is not None:
                names = [_fill(name, numbers) for name in rule.theirs]
                parts = zip(names, rule.transform.outward(tensor, dims), strict=True)
                written.update({name: part for name, part in parts if part is not None})
                break
        else:
            homeless.append(ours)
    return written, tuple(homeless)


def _compile(name: str) -> re.Pattern[str]:
    parts, seen, end = [], set[str](), 0
    for found in _PLACEHOLDER.finditer(name):
        letter = found[1]
        number = f"(?P={letter})" if letter in seen else f"(?P<{letter}>0|[1-9][0-9]{{0,3}})"
        parts += [re.escape(name[end : found.start()]), number]
        seen.add(letter)
        end = found.end()
    return re.compile("".join(parts) + re.escape(name[end:]))


def _numbers(name: str, pattern: re.Pattern[str], key: str) -> dict[str, int] | None:
    """The placeholders' numbers, counted from zero; None if the key is not of that name."""
    found = pattern.fullmatch(key)
    if found is None:
        return None
    numbers = {letter: int(found[letter]) - bool(plus) for letter, plus in _PLACEHOLDER.findall(name)}
    return numbers if min(numbers.values(), default=0) >= 0 else None


def _fill(name: str, numbers: Mapping[str, int]) -> str:
    return _PLACEHOLDER.sub(lambda found: str(numbers[found[1]] + bool(found[2])), name)


@lru_cache(maxsize=2**16)  # every layout asks for that of every key
def _shape(key: str) -> str:
    """A key without its numbers: rules of another shape need not be tried."""
    return re.sub(r"[0-9]+|\{\w(\+1)?\}", "#", key)


def _by_shape(layout: Layout) -> dict[str, list[tuple[Rule, int]]]:
    index: dict[str, list[tuple[Rule, int]]] = {}
    for rule in layout.rules:
        for part, name in enumerate(rule.theirs):
            index.setdefault(_shape(name), []).append((rule, part))
    return index


def _places(candidates: Iterable[tuple[Rule, int]], key: str) -> list[tuple[Rule, int, dict[str, int]]]:
    return [
        (rule, part, numbers)
        for rule, part in candidates
        if (numbers := _numbers(rule.theirs[part], rule.patterns[part], key)) is not None
    ]


def _rows(parts: list[Tensor]) -> Tensor:
    """One below the other. Of shapes without memory torch.cat would import half of torch's compiler, for seconds."""
    if not parts[0].is_meta:
        return torch.cat(parts)
    if len({part.shape[1:] for part in parts}) > 1:
        raise RuntimeError("rows of different lengths")
    return parts[0].new_empty((sum(len(part) for part in parts), *parts[0].shape[1:]))


def _each(inward: Callable[[Tensor], Tensor], outward: Callable[[Tensor], Tensor]) -> Transform:
    return Transform(lambda parts: inward(parts[0]), lambda tensor, _: [outward(tensor)])


SAME: Final = _each(lambda t: t, lambda t: t)
# Fused rows [q; k; v] from three matrices (out, in) or three biases (out).
STACK: Final = Transform(_rows, lambda tensor, _: list(tensor.chunk(3)))
# Of rows that are fused [q; k; v] elsewhere, what we keep apart; it is only read.
FIRST_THIRD: Final = Transform(lambda parts: parts[0].chunk(3)[0], lambda tensor, _: [None])
LAST_TWO_THIRDS: Final = Transform(lambda parts: parts[0][len(parts[0]) // 3 :], lambda tensor, _: [None])
# torch's (out, in) from JAX's (in, out); torch's OIHW from JAX's HWIO.
DENSE: Final = _each(lambda t: t.T, lambda t: t.T)
CONV: Final = _each(lambda t: t.permute(3, 2, 0, 1), lambda t: t.permute(2, 3, 1, 0))


def head_kernels(count: int) -> Transform:
    """Fused rows from `count` of JAX's kernels, which keep heads as an axis: (D, H, d) each."""
    return Transform(
        lambda parts: _rows([part.flatten(1).T for part in parts]),
        lambda tensor, dims: [part.T.unflatten(1, (dims.num_heads, -1)) for part in tensor.chunk(count)],
    )


def head_biases(count: int) -> Transform:
    """Fused biases from `count` of JAX's, (H, d) each."""
    return Transform(
        lambda parts: _rows([part.flatten() for part in parts]),
        lambda tensor, dims: [part.unflatten(0, (dims.num_heads, -1)) for part in tensor.chunk(count)],
    )


# The output projection is (H, d, D).
OUT_KERNEL: Final = Transform(
    lambda parts: parts[0].flatten(0, 1).T, lambda tensor, dims: [tensor.T.unflatten(0, (dims.num_heads, -1))]
)
# A patch kernel; very old timm files hold it as a matrix (D, 3·P·P).
PATCH: Final = _each(lambda t: t.reshape(len(t), 3, isqrt(t.shape[1] // 3), -1) if t.ndim == 2 else t, lambda t: t)
# GroupNorm's vectors are (1, 1, 1, C) in the released files, (C) in newer ones.
GROUP_NORM: Final = _each(lambda t: t.flatten(), lambda t: t.reshape(1, 1, 1, -1))
# A vector or a table of vectors without the axes that broadcast over a batch.
CLASS_VECTOR: Final = _each(lambda t: t.reshape(1, 1, -1), lambda t: t.flatten())
BATCHED: Final = _each(lambda t: t.unsqueeze(0), lambda t: t.squeeze(0))
# A position table whose registers, the tokens after the class token, have no rows: zeros say the same.
REGISTER_ROWS: Final = Transform(
    lambda parts: torch.concatenate([parts[0][:, :1], torch.zeros_like(parts[1]), parts[0][:, 1:]], dim=1),
    lambda tensor, dims: [torch.concatenate([tensor[:, :1], tensor[:, 1 + dims.reg_tokens :]], dim=1), None],
)
# A head that is used alone, where ours is the mean of two: twice it and nothing, which is exact in binary.
HALF_OF_MEAN: Final = _each(lambda t: t * 2, lambda t: t / 2)
