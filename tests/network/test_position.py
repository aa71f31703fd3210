"""Owns the tests of network/position.py: what defines each kind of position embedding."""

import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from app.domain import PreprocessSpec
from app.network.attention import Attention
from app.network.fold import fold_normalisation
from app.network.position import AxisTables, RelativePosition
from app.network.vit import VisionTransformer
from app.package.variants import Position, ViTConfig

SMALL = ViTConfig((12, 16), 4, 24, 3, 2, num_classes=5)  # 3 x 4 patches
KINDS = get_args(Position)


def drawn(position: Position, **changes: object) -> VisionTransformer:
    torch.manual_seed(0)
    network = VisionTransformer(replace(SMALL, position=position, **changes)).double()  # type: ignore[arg-type]
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval().requires_grad_(False)


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def permuted(x: Tensor) -> Tensor:
    """The same patches in another order."""
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3)  # (B, C, 12, 4, 4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    grid = patches[:, :, order].unflatten(2, (3, 4))
    out: Tensor = grid.permute(0, 1, 2, 4, 3, 5).reshape(x.shape)
    return out


def zero_tables(network: VisionTransformer) -> None:
    for name, parameter in network.named_parameters():
        if name.startswith("pos_embed") or ".relative." in name:
            parameter.zero_()


@pytest.mark.parametrize("kind", KINDS)
def test_only_without_positions_may_patches_be_permuted(kind: Position):
    network, x = drawn(kind), image()
    change = (network(permuted(x)) - network(x)).abs().max()
    assert (change < 1e-12) == (kind == "none")
    zero_tables(network)  # what any kind is without its tables
    torch.testing.assert_close(network(permuted(x)), network(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("no_embed_class", [False, True])
def test_the_shortcut_of_the_last_layer_changes_nothing(kind: Position, distilled: bool, no_embed_class: bool):
    network, x = drawn(kind, distilled=distilled, no_embed_class=no_embed_class), image()
    torch.testing.assert_close(network(x), network.forward_head(network.forward_features(x)), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("two", "one"), [("2d", "1d"), ("2d_every_layer", "1d_every_layer"), ("2d_shared", "1d_shared")]
)
@pytest.mark.parametrize("no_embed_class", [False, True])
def test_two_axes_are_their_folded_table(two: Position, one: Position, no_embed_class: bool):
    axes, plain = drawn(two, no_embed_class=no_embed_class), drawn(one, no_embed_class=no_embed_class)
    assert isinstance(axes.pos_embed, AxisTables)
    state = {name: value for name, value in axes.state_dict().items() if not name.startswith("pos_embed")}
    plain.load_state_dict({**state, "pos_embed": axes.pos_embed()})
    torch.testing.assert_close(axes(image()), plain(image()), atol=1e-12, rtol=0)


def test_a_patch_has_its_columns_half_and_its_rows():
    tables = AxisTables(replace(SMALL, position="2d"))
    for parameter in tables.parameters():
        torch.nn.init.normal_(parameter)
    table = tables()[0]
    assert table.shape == (13, 24)
    assert torch.equal(table[1 + 2 * 4 + 3], torch.cat([tables.columns[0, 3], tables.rows[0, 2]]))
    assert torch.equal(table[0], tables.prefix[0, 0])
    assert tables.columns.numel() + tables.rows.numel() == (4 + 3) * 12


def test_serving_folds_the_axes():
    network = drawn("2d_every_layer")
    served = copy.deepcopy(network)
    fold_normalisation(served, PreprocessSpec(12, 16, mean=(0.5,) * 3, std=(0.5,) * 3))
    assert isinstance(served.pos_embed, torch.nn.Parameter)
    pixels = torch.randint(0, 256, (2, 3, 12, 16)).double()
    torch.testing.assert_close(served(pixels - 128), network(pixels / 127.5 - 1), atol=1e-9, rtol=0)


def test_relative_scores_depend_on_the_offset_alone():
    relative = RelativePosition(6, 8).double()
    torch.nn.init.normal_(relative.table)
    q = torch.randn(1, 1, 1, 8, dtype=torch.float64)
    bias = relative(q.expand(2, 3, 6, 8))[0, 0].detach()  # the same query everywhere
    for offset in range(-5, 6):
        line = bias.diagonal(offset)
        torch.testing.assert_close(line, line[:1].expand(len(line)), atol=1e-12, rtol=0)
    assert len({round(value, 9) for value in [*bias[0].tolist(), *bias[:, 0].tolist()]}) == 11
    torch.testing.assert_close(relative(q.expand(2, 3, 2, 8)).detach(), bias[:2].expand(2, 3, 2, 6), atol=1e-12, rtol=0)


def test_relative_attention_by_hand():
    torch.manual_seed(0)
    config = replace(SMALL, position="relative")
    attention = Attention(config).double().requires_grad_(False)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    assert attention.relative is not None
    x, table = torch.randn(13, 24, dtype=torch.float64), attention.relative.table[0]
    q, k, v = (x @ attention.qkv.weight.T + attention.qkv.bias).unflatten(1, (3, 2, 12)).unbind(1)
    rows = []
    for i in range(13):
        heads = []
        for h in range(2):
            scores = torch.stack([q[i, h] @ (k[j, h] + table[i - j + 12]) / 12**0.5 for j in range(13)])
            heads.append(scores.softmax(0) @ v[:, h])
        rows.append(torch.cat(heads))
    expected = torch.stack(rows) @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(x[None])[0], expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("axes", ["1d", "2d"])
def test_tables_at_every_layer(axes: str):
    every: VisionTransformer = drawn(f"{axes}_every_layer")  # type: ignore[arg-type]
    shared: VisionTransformer = drawn(f"{axes}_shared")  # type: ignore[arg-type]
    stem: VisionTransformer = drawn(axes)  # type: ignore[arg-type]
    tables = shared.position_tables()
    assert tables is not None
    assert tables.shape == (1, 13, 24)
    count = sum(p.numel() for p in stem.parameters())
    assert sum(p.numel() for p in shared.parameters()) == count
    own = sum(p.numel() for name, p in stem.named_parameters() if name.startswith("pos_embed"))
    assert sum(p.numel() for p in every.parameters()) == count + 2 * own

    equal = {
        name: value.repeat(3, 1, 1) if name.startswith("pos_embed") else value
        for name, value in shared.state_dict().items()
    }
    every.load_state_dict(equal)
    torch.testing.assert_close(every(image()), shared(image()), atol=1e-12, rtol=0)
    once = {name: value.clone() for name, value in every.state_dict().items()}
    for name, value in once.items():
        if name.startswith("pos_embed"):
            value[1:] = 0
    every.load_state_dict(once)
    stem.load_state_dict(shared.state_dict())
    torch.testing.assert_close(every(image()), stem(image()), atol=1e-12, rtol=0)
    assert not torch.allclose(shared(image()), stem(image()))


@pytest.mark.parametrize("kind", ["1d_every_layer", "1d_shared"])
def test_each_layer_is_given_its_table(kind: Position):
    network, given = drawn(kind), []
    network.blocks[1].register_forward_pre_hook(lambda _, args: given.append(args[0]))
    features = []
    network.blocks[0].register_forward_hook(lambda _, __, out: features.append(out))
    network(image())
    tables = network.position_tables()
    assert tables is not None
    torch.testing.assert_close(given[0] - features[0], tables[-2 if len(tables) > 1 else 0].expand(2, -1, -1))


@pytest.mark.parametrize("distilled", [False, True])
def test_without_prefix_rows_is_with_rows_of_zeros(distilled: bool):
    bare, full = drawn("1d", no_embed_class=True, distilled=distilled), drawn("1d", distilled=distilled)
    prefix = 2 if distilled else 1
    assert bare.state_dict()["pos_embed"].shape == (1, 12, 24)
    padded = torch.cat([torch.zeros(1, prefix, 24).double(), bare.state_dict()["pos_embed"]], dim=1)
    full.load_state_dict({**bare.state_dict(), "pos_embed": padded})
    assert torch.equal(bare(image()), full(image()))


def test_what_cannot_be_together_is_refused():
    with pytest.raises(ValueError, match="patch_drop_rate"):
        replace(SMALL, position="relative", patch_drop_rate=0.5)
    with pytest.raises(ValueError, match="odd"):
        replace(SMALL, position="2d", embed_dim=25, num_heads=5)
