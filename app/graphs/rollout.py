"""Owns graphs that tell more than logits: the head's feature, or where a network attends; does not find or run these.

Shapes as in `anatomy`. A layer's weights, (B, H, M, N), never leave the graph: rows are multiplied with them.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from app.graphs.anatomy import Attention, find_attention, find_features
from app.graphs.library import openvino

_TINY: Final = -1e30  # a logit that is masked


def embedding_graph(model: "openvino.Model") -> "openvino.Model":
    """→ the same graph up to its head: pixels in, (B, D) out; of two heads the mean of what they read.

    Raises NotSupported.
    """
    ops, features = openvino.opset13, find_features(model)
    total = features[0]
    for each in features[1:]:
        total = ops.add(total, each).output(0)
    mean = ops.multiply(total, ops.constant(np.float32(1 / len(features))))
    width = max(each.get_length() for each in list(features[0].get_partial_shape())[1:])
    flat = ops.reshape(mean, ops.constant(np.array([-1, width])), special_zero=False)
    return openvino.Model([ops.result(flat)], model.get_parameters(), "embedding")


def explaining_graph(model: "openvino.Model") -> "tuple[openvino.Model, Attention]":
    """→ the same graph with three outputs, and what was found in it. Raises NotSupported.

    Logits (B, classes); rollout over the patches (B, rows·columns); and of each layer and head the weight of each
    patch in what the head of the network reads (B, layers, H, rows·columns).
    """
    found = find_attention(model)
    ops = openvino.opset13
    weights = [_weights(node) for node in found.layers]
    patches = found.grid[0] * found.grid[1]
    whole = np.zeros(found.tokens, np.float32)  # what is read of the tokens, in layers before the last
    if found.pooled:
        whole[-patches:] = 1 / patches
    else:
        whole[: len(found.read)] = found.read
    rows = [found.read if node is found.layers[-1] else whole for node in found.layers]
    heads = [_of_patches(_times(row[None, None, None], each), patches) for row, each in zip(rows, weights, strict=True)]
    attention = ops.concat([ops.transpose(each, ops.constant(np.array([0, 2, 1, 3]))) for each in heads], axis=1)
    rollout = _of_patches(_rolled(weights, found), patches)
    flat = ops.reshape(rollout, ops.constant(np.array([-1, patches])), special_zero=False)
    logits = model.get_results()[0].input_value(0)
    results = [ops.result(each) for each in (logits, flat, attention)]
    return openvino.Model(results, model.get_parameters(), "explaining"), found


def _rolled(weights: "list[openvino.Node]", found: Attention) -> "openvino.Node":
    """Attention rollout (Abnar & Zuidema, arXiv 2005.00928), the head's row of it, from the last layer to the first.

    (B, 1, N). Each layer is half its mean over heads, half the identity; a pool has no identity.
    """
    ops = openvino.opset13
    row = ops.constant(found.read[None, None])
    for number, each in reversed(list(enumerate(weights))):
        mean = ops.reduce_mean(each, ops.constant(np.array([1])), keep_dims=False)
        attended = ops.matmul(row, mean, False, False)
        if found.pooled and number == len(weights) - 1:
            row = _widened(attended, found.tokens, at_end=False)
            continue
        half = ops.constant(np.float32(0.5))
        row = ops.multiply(ops.add(attended, _widened(row, found.tokens, at_end=True)), half)
    return row


def _widened(row: "openvino.Node", tokens: int, *, at_end: bool) -> "openvino.Node":
    """(…, M) → (…, N), zeros for the tokens that it says nothing of: the last, or the first."""
    ops = openvino.opset13
    missing = tokens - row.output(0).get_partial_shape()[-1].get_length()
    if not missing:
        return row
    before, after = (np.array([0, 0, 0 if at_end is first else missing]) for first in (True, False))
    return ops.pad(row, ops.constant(before), ops.constant(after), "constant", ops.constant(np.float32(0)))


def _times(row: npt.NDArray[np.float32], weights: "openvino.Node") -> "openvino.Node":
    return openvino.opset13.matmul(openvino.opset13.constant(row), weights, False, False)


def _of_patches(row: "openvino.Node", patches: int) -> "openvino.Node":
    """The last `patches` of (…, N)."""
    ops = openvino.opset13
    start, stop, step, axis = (ops.constant(np.array([each])) for each in (-patches, 2**31 - 1, 1, -1))
    return ops.slice(row, start, stop, step, axis)


def _weights(node: "openvino.Node") -> "openvino.Node":
    """(B, H, M, N), the rows adding up to 1: of the fused operation computed again, in the open."""
    if node.get_type_name() == "Softmax":
        return node
    ops = openvino.opset13
    q, k, _, *rest = (each.get_source_output() for each in node.inputs())
    width = q.get_partial_shape()[3].get_length()
    scale = rest[1] if len(rest) > 1 else ops.constant(np.float32(width**-0.5))
    logits = ops.multiply(ops.matmul(q, k, False, True), scale)
    if rest and rest[0].get_element_type() == openvino.Type.boolean:
        logits = ops.select(rest[0], logits, ops.constant(np.float32(_TINY)))
    elif rest:
        logits = ops.add(logits, rest[0])
    return ops.softmax(logits, 3)
