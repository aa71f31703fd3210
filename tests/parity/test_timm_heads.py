"""Owns the comparison with timm of hub folders whose tensors and arguments do not say how many heads there are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints.load import ConvertOptions, read_checkpoint
from app.errors import PackageError
from tests.parity.compare import drawn

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
SILENT: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("flexivit_small", {}), ("vit_base_patch16_224_miil", {}), ("vit_base_patch8_224", {}), ("test_vit", {})),
    *(
        ("vit_large_patch14_224", {}),
        ("vit_giant_patch14_224", {}),
        ("vit_gigantic_patch14_224", {}),
        ("test_vit2", {}),
    ),
    ("vit_base_patch16_224", {"embed_dim": 384}),  # of which timm makes 12 heads of 32 channels
)


@pytest.mark.parametrize(("name", "arguments"), SILENT, ids=str)
def test_an_architectures_name_says_its_heads(timm: Any, name: str, arguments: dict[str, Any], tmp_path: Path):
    arguments = {**arguments, "depth": 1}
    theirs = drawn(timm.create_model(name, num_classes=5, **arguments), 0.05)
    timm.models.save_for_hf(theirs, str(tmp_path), model_args=arguments, safe_serialization=True)
    ours = read_checkpoint(tmp_path).package.network
    x = torch.randn(1, 3, *ours.config.img_size, dtype=torch.float64)
    with torch.inference_mode():
        expected = theirs.double()(x)
        assert expected.std() > 1e-2
        torch.testing.assert_close(ours.double()(x), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["eva_giant_patch14_clip_224", "eva_giant_patch14_224", "beit_base_patch16_224"])
def test_separate_biases_of_queries_and_values_are_never_dropped(timm: Any, name: str, tmp_path: Path):
    network = drawn(timm.create_model(name, num_classes=5, depth=1), 0.05)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    for drop in (False, True):
        with pytest.raises(PackageError) as caught:
            read_checkpoint(tmp_path / "weights.safetensors", ConvertOptions(heads=16, drop_unused=drop))
        assert "--drop-unused" not in str(caught.value)
