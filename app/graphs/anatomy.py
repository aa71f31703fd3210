"""Owns where the head's feature and the attention lie in a graph, found by its operations; does not change or run it.

Shapes: B images, H heads, M queries, N tokens (prefix tokens, then patches), D width.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.errors import NotSupported
from app.graphs.library import openvino

_ATTENTION: Final = "ScaledDotProductAttention"
_FEW: Final = 300  # operations between the head and what picks its tokens: a norm, a hidden layer, a pool
_SMOOTHED: Final = "nncf_smooth_quant"  # in the name of a scale that quantising has put before a product


class Attention(NamedTuple):
    """Global attention over a grid of patches.

    `layers`: nodes in order, whose queries are all N tokens, in the last maybe only the first M. `read`: how much of
    each of its queries goes to the head, (M,), adding up to 1. `pooled`: whether the last one is no layer but the pool.
    """

    layers: "list[openvino.Node]"
    grid: tuple[int, int]  # rows, columns
    tokens: int
    read: npt.NDArray[np.float32]
    pooled: bool


def find_features(model: "openvino.Model") -> "list[openvino.Output]":
    """What each head of the network multiplies with its weights, (B, D), of a distilled network's two both.

    Raises NotSupported where logits do not come from such products.
    """
    classes = _sizes(model.outputs[0])[-1]
    found = list[openvino.Output]()
    for node in _upstream(model.get_results()[0], stop_at=("MatMul",)):
        if node.get_type_name() == "MatMul" and _sizes(node.output(0))[-1] == classes and _is_weight(node.input(1)):
            found.append(_unquantised(node.input(0).get_source_output()))
    if not found or len({tuple(_sizes(each)) for each in found}) > 1 or 0 in _sizes(found[0])[1:]:
        raise NotSupported("no feature in front of a linear head was found in this network")
    width = int(np.prod(_sizes(found[0])[1:]))
    if width != _sizes(found[0])[-1] and width != _sizes(found[0])[1]:  # a head for each token
        raise NotSupported("the head of this network reads more than one vector")
    return found


def find_attention(model: "openvino.Model") -> Attention:
    """Raises NotSupported where not every layer attends to all patches of one grid."""
    ordered = model.get_ordered_ops()
    layers = [node for node in ordered if _attends(node)]
    if not layers:
        raise NotSupported("this network has no attention")
    pooled = len(layers) > 1 and not _sees_pixels(_queries(layers[-1]))
    *inner, last = layers[:-1] if pooled else layers
    shapes = [_shape(node) for node in layers]
    tokens = shapes[0][1]
    whole = all(_shape(node)[:2] == (tokens, tokens) for node in inner) and shapes[len(inner)][1] == tokens
    rows, columns = _grid(ordered, layers[0])
    if not whole or not 0 < rows * columns <= tokens or _shape(last)[0] > tokens:
        raise NotSupported("this network attends in windows, or to other things than patches of the image")
    if len({heads for _, _, heads in shapes[: len(inner) + 1]}) > 1:
        raise NotSupported("the layers of this network have different numbers of heads")
    if pooled:
        if shapes[-1][0] != 1 or not rows * columns <= shapes[-1][1] <= tokens or shapes[-1][2] != shapes[0][2]:
            raise NotSupported("the pool of this network attends to other things than its tokens")
        return Attention(layers, (rows, columns), tokens, np.ones(1, np.float32), pooled)
    return Attention(layers, (rows, columns), tokens, _read(model, _shape(last)[0]), pooled)


def _attends(node: "openvino.Node") -> bool:
    if node.get_type_name() == _ATTENTION:
        return True
    sizes = _sizes(node.output(0)) if node.get_type_name() == "Softmax" else []
    return len(sizes) == 4 and node.get_attributes().get("axis") in (-1, 3)


def _shape(node: "openvino.Node") -> tuple[int, int, int]:
    """Queries, keys and heads of a node that attends; 0 for a number that is not fixed, or that there is not."""
    if node.get_type_name() == _ATTENTION:
        queries, keys = (_sizes(node.input_value(i)) for i in range(2))
        if len(queries) != 4 or len(keys) != 4 or node.get_attributes().get("causal"):
            return 0, 0, 0
        return queries[2], keys[2], queries[1]
    _, heads, queries_, keys_ = _sizes(node.output(0))
    return queries_, keys_, heads


def _queries(node: "openvino.Node") -> "openvino.Node":
    """What queries are made of; of a softmax alone both sides."""
    return node.input_value(0).get_node()


def _sees_pixels(node: "openvino.Node") -> bool:
    """Whether a value depends on the image, and not only on how many there are."""
    return any(each.get_type_name() == "Parameter" for each in _upstream(node))


def _grid(ordered: "list[openvino.Node]", first: "openvino.Node") -> tuple[int, int]:
    """Rows and columns of the last convolution before the first attention: the patches."""
    name = first.get_friendly_name()
    for node in reversed(ordered[: [node.get_friendly_name() for node in ordered].index(name)]):
        if node.get_type_name() == "Convolution" and len(sizes := _sizes(node.output(0))) == 4:
            return sizes[2], sizes[3]
    return 0, 0


def _read(model: "openvino.Model", queries: int) -> npt.NDArray[np.float32]:
    """How much of each query of the last layer the head reads: of one, or the mean of many. Raises NotSupported."""
    read = np.zeros(queries, np.float32)
    for seen, node in enumerate(_upstream(find_features(model)[0].get_node())):
        if seen > _FEW:
            break
        kind = node.get_type_name()
        if kind not in ("Gather", "ReduceMean", "ReduceSum"):
            continue
        tokens = _sizes(node.input_value(0))
        where = node.input_value(2 if kind == "Gather" else 1).get_node()
        if len(tokens) != 3 or where.get_type_name() != "Constant" or where.data.flatten().tolist() not in ([1], [-2]):
            continue
        index = node.input_value(1).get_node()
        if kind == "Gather" and index.get_type_name() == "Constant" and index.data.size == 1:
            read[int(index.data.item())] = 1
            return read
        if kind == "ReduceMean" and 0 < tokens[1] <= queries:
            read[queries - tokens[1] :] = 1 / tokens[1]  # less the first, which are prefix tokens
            return read
    raise NotSupported("which tokens the head of this network reads cannot be told")


def _upstream(node: "openvino.Node", stop_at: tuple[str, ...] = ()) -> "Iterator[openvino.Node]":
    """A node and those that its value is computed from, nearest first; not what only sizes come from."""
    waiting, known = deque([node]), {node.get_friendly_name()}
    while waiting:
        node = waiting.popleft()
        yield node
        if node.get_type_name() in (*stop_at, "ShapeOf", "Constant"):
            continue
        for source in node.inputs():
            before = source.get_source_output().get_node()
            if (name := before.get_friendly_name()) not in known:
                known.add(name)
                waiting.append(before)


def _is_weight(source: "openvino.Input") -> bool:
    """Whether it is a constant, maybe stored in fewer bits."""
    return not _sees_pixels(source.get_source_output().get_node())


def _unquantised(value: "openvino.Output") -> "openvino.Output":
    """What was there before quantising put a scale and a rounding in front of the product."""
    while (node := value.get_node()).get_type_name() == "FakeQuantize" or _SMOOTHED in node.get_friendly_name():
        value = node.input_value(0)
    return value


def _sizes(value: "openvino.Output") -> list[int]:
    """Its shape, 0 for what is not fixed; the first, the number of images, never is."""
    shape = value.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [0 if each.is_dynamic else each.get_length() for each in shape]
