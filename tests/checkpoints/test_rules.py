"""Owns the tests of rules.py, on every layout that there is."""

import pytest
import torch

from app.checkpoints.export import FORMATS
from app.checkpoints.rules import SAME, Dims, Layout, Rule, match, write
from app.checkpoints.timm import LAYOUTS as TIMM
from tests.checkpoints.networks import KINDS, TINY, drawn

REGISTERS = "Dinov2WithRegistersForImageClassification"  # nothing without them; test_export_transformers.py has it
EVERY = [layout for layouts in FORMATS.values() for layout in layouts if layout.name != REGISTERS]
STATES = {kind: dict(drawn(config).state_dict()) for kind, config in KINDS.items()}


@pytest.mark.parametrize("layout", EVERY, ids=lambda layout: layout.name)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_layout_writes_it_reads_bit_equal(layout: Layout, kind: str):
    state = STATES[kind]
    written, homeless = write(layout, state, Dims(TINY["num_heads"]))
    found = match(layout, written)
    assert (found.missing, found.unused, found.ignored) == ((), (), {})
    assert set(found.sources) == state.keys() - set(homeless)
    for name, source in found.sources.items():
        tensor = source.transform.inward([written[key] for key in source.keys if key is not None])
        assert torch.equal(tensor, state[name])


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_but_what_it_lacks_has_a_place_for_every_tensor(kind: str):
    lacking = {"hf": {"pre_logits", "root"}, "torchvision": {"distilled", "hybrid", "root"}, "npz": {"distilled"}}
    for name, layouts in FORMATS.items():
        complete = any(not write(layout, STATES[kind], Dims(4))[1] for layout in layouts)
        assert complete == (kind not in lacking.get(name, set())), name


def test_a_missing_part_is_named():
    layout = next(layout for layout in FORMATS["hf"] if layout.name == "transformers 4, ViTForImageClassification")
    written, _ = write(layout, STATES["plain"], Dims(4))
    lost = "vit.encoder.layer.1.attention.attention.key.weight"
    del written[lost]
    assert match(layout, written).missing == (lost,)


@pytest.mark.parametrize("key", ["block0/x", "block01/x", "blocka/x", "block99999/x", "block1/y", "ablock1/x"])
def test_numbers_are_plain_and_counted_from_where_the_format_counts(key: str):
    layout = Layout("f", "l", (Rule("stage.{s}", ("block{s+1}/x",), SAME),))
    assert match(layout, ["block1/x", "block12/x"]).sources.keys() == {"stage.0", "stage.11"}
    assert match(layout, [key]).unused == (key,)


def test_a_number_that_occurs_twice_must_be_the_same():
    layout = Layout("f", "l", (Rule("a.{i}", ("b.{i}.c.{i}",), SAME),))
    assert match(layout, ["b.1.c.1", "b.1.c.2"]).unused == ("b.1.c.2",)


def test_a_patch_matrix_of_very_old_timm_files_becomes_a_kernel():
    rule = next(rule for rule in TIMM[0].rules if rule.ours == "patch_embed.proj.weight")
    kernel = torch.randn(64, 3, 4, 4)
    assert torch.equal(rule.transform.inward([kernel.flatten(1)]), kernel)
