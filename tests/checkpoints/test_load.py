"""Owns the tests of load.py: from files to a package, with what is assumed, named and refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.checkpoints.load import ConvertOptions, load_checkpoint, read_checkpoint
from app.checkpoints.own import load_package, save_package
from app.errors import PackageError
from app.package.variants import ViTConfig
from tests.checkpoints.networks import KINDS, TINY, drawn

HEADS = ConvertOptions(heads=4)


def state_of(config: ViTConfig = KINDS["plain"]) -> dict[str, Tensor]:
    return dict(drawn(config).state_dict())


def bare(folder: Path, state: dict[str, Tensor], name: str = "w.safetensors") -> Path:
    save_file(state, folder / name)
    return folder / name


def refused(path: Path, *words: str, options: ConvertOptions = HEADS) -> None:
    with pytest.raises(PackageError) as caught:
        load_checkpoint(path, options)
    for word in (str(path), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_say_everything_but_the_heads(kind: str, tmp_path: Path):
    config = KINDS[kind]
    result = read_checkpoint(bare(tmp_path, state_of(config)), HEADS)
    assert result.package.network.config == config
    assert not result.package.network.training
    save_package(tmp_path / "package", result.package)
    assert load_package(tmp_path / "package").network.config == config


def test_what_is_assumed_is_said(tmp_path: Path):
    result = read_checkpoint(bare(tmp_path, state_of()))
    assert result.package.network.config.num_heads == 1
    assert result.remarks == (
        "assumed: 1 heads (shapes do not tell; --heads N)",
        "assumed: images of 32 x 32 px (square, as the position table; --size)",
        "assumed: images prepared as for timm-augreg (--preprocess)",
    )
    assert read_checkpoint(bare(tmp_path, state_of()), ConvertOptions(heads=4, preprocess="tutorial")).remarks == (
        "assumed: images of 32 x 32 px (square, as the position table; --size)",
    )


def test_heads_of_a_width_of_1280_are_16(tmp_path: Path):
    config = ViTConfig(**{**TINY, "embed_dim": 1280, "depth": 1, "num_heads": 16, "mlp_ratio": 0.1})
    assert load_checkpoint(bare(tmp_path, state_of(config))).network.config.num_heads == 16


def test_heads_of_an_odd_width_must_be_said(tmp_path: Path):
    config = ViTConfig(**{**TINY, "embed_dim": 48})
    refused(bare(tmp_path, state_of(config)), "say --heads N", options=ConvertOptions())


def test_a_variant_settles_the_heads_and_must_fit(tmp_path: Path):
    config = ViTConfig(**{**TINY, "embed_dim": 192, "depth": 12, "num_heads": 3})
    path = bare(tmp_path, state_of(config))
    assert load_checkpoint(path).architecture == "vit_tiny_patch16_224"
    options = ConvertOptions(variant="vit_tiny_patch16_384")
    assert load_checkpoint(path, options).architecture == "vit_tiny_patch16_384"
    refused(
        path, "not that of vit_small_patch16_224: embed_dim", options=ConvertOptions(variant="vit_small_patch16_224")
    )


def test_another_size_resizes_the_position_table(tmp_path: Path):
    path = bare(tmp_path, state_of())
    package = load_checkpoint(path, ConvertOptions(heads=4, size=(48, 64)))
    assert package.network.config.img_size == (48, 64)
    tables = package.network.position_tables()
    assert tables is not None
    assert tables.shape == (1, 3 * 4 + 1, 64)
    assert (package.preprocess.height, package.preprocess.width) == (48, 64)


def test_a_table_that_is_not_square_needs_its_size(tmp_path: Path):
    path = bare(tmp_path, state_of(ViTConfig(**{**TINY, "img_size": (32, 48)})))
    refused(path, "position table of 7 rows", "--size HEIGHTxWIDTH")
    assert load_checkpoint(path, ConvertOptions(heads=4, size=(32, 48))).network.config.img_size == (32, 48)


def test_every_missing_and_every_unused_key_is_named(tmp_path: Path):
    state = state_of()
    for key in ("blocks.1.norm1.bias", "norm.weight"):
        del state[key]
    state |= {"blocks.1.extra": torch.ones(1), "other": torch.ones(1)}
    path = bare(tmp_path, state)
    refused(path, "'blocks.1.extra' belongs inside the network", "'other' is not part of a ViT")
    dropped = ConvertOptions(heads=4, drop_unused=True)
    refused(path, "'blocks.1.extra' belongs inside the network", options=dropped)
    del state["blocks.1.extra"]
    refused(bare(tmp_path, state), "no tensor for 'blocks.1.norm1.bias'", "'norm.weight'", options=dropped)
    path = bare(tmp_path, {**state_of(), "other": torch.ones(1)})
    assert "left out: 'other' (unknown)" in read_checkpoint(path, dropped).remarks


def test_a_block_that_is_missing_is_named(tmp_path: Path):
    state = {
        key: tensor for key, tensor in state_of(ViTConfig(**{**TINY, "depth": 3})).items() if "blocks.1" not in key
    }
    refused(bare(tmp_path, state), "no tensor for 'blocks.1.norm1.weight'")


def test_shapes_that_do_not_fit_are_named(tmp_path: Path):
    state = state_of() | {"blocks.1.mlp.fc2.weight": torch.ones(64, 100), "head.bias": torch.ones(6)}
    refused(bare(tmp_path, state), "'blocks.1.mlp.fc2.weight' has shape (64, 100), the network wants", "'head.bias'")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value: float, tmp_path: Path):
    state = state_of()
    state["norm.bias"][3] = value
    refused(bare(tmp_path, state), "norm.bias", "no finite numbers")


def test_whole_numbers_are_refused(tmp_path: Path):
    refused(bare(tmp_path, state_of() | {"norm.bias": torch.ones(64, dtype=torch.int64)}), "floating-point")


def test_half_precision_stays_half_in_the_package(tmp_path: Path):
    state = {key: tensor.bfloat16() for key, tensor in state_of().items()}
    result = read_checkpoint(bare(tmp_path, state), HEADS)
    assert result.dtype == torch.bfloat16
    assert all(torch.equal(tensor, state[key].float()) for key, tensor in result.package.network.state_dict().items())


def test_a_dead_head_is_refused_and_can_be_a_start(tmp_path: Path):
    state = state_of(KINDS["pre_logits"])
    state |= {"head.weight": torch.zeros(5, 24), "head.bias": torch.zeros(5)}
    path = bare(tmp_path, state)
    refused(path, "the head is all zeros")
    assert load_checkpoint(path, ConvertOptions(heads=4, for_training=True)).network.has_dead_head


def test_a_file_without_head_can_be_a_start(tmp_path: Path):
    state = {key: tensor for key, tensor in state_of().items() if not key.startswith("head")}
    path = bare(tmp_path, state)
    refused(path, "no head to classify with")
    assert load_checkpoint(path, ConvertOptions(heads=4, for_training=True)).network.config.num_classes == 1


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("blocks.0.mlp.w1.weight", "SwiGLU"),
        ("blocks.0.attn.q_bias", "biases or scales inside attention"),
        ("blocks.0.mlp.norm.weight", "a norm inside"),
        ("rel_pos_bias.relative_position_bias_table", "relative position"),
        ("patch_embed.backbone.stem.bn.running_mean", "BatchNorm"),
    ],
)
def test_relatives_are_refused_by_name(key: str, name: str, tmp_path: Path):
    refused(bare(tmp_path, {**state_of(), key: torch.ones(1)}), "not a ViT of the paper", name, key)


def test_unknown_keys(tmp_path: Path):
    refused(bare(tmp_path, {"conv1.weight": torch.ones(1)}), "none of timm's", "conv1.weight")


def hub(folder: Path, state: dict[str, Tensor], config: dict[str, Any], **files: Any) -> Path:
    bare(folder, state, "model.safetensors")
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


TIMM = {
    "architecture": "vit_unheard_of",
    "num_classes": 5,
    "model_args": {"num_heads": 8, "something": 1},
    "label_names": ["a", "b", "c", "d", "e"],
    "pretrained_cfg": {"tag": "ours", "input_size": [3, 32, 32], "crop_pct": 0.95, "interpolation": "bilinear"},
}


def test_timms_folder(tmp_path: Path):
    result = read_checkpoint(hub(tmp_path, state_of(), TIMM))
    package = result.package
    assert package.network.config.num_heads == 8
    assert package.labels == ("a", "b", "c", "d", "e")
    assert (package.preprocess.crop_pct, package.preprocess.interpolation) == (0.95, "bilinear")
    assert package.name.endswith(".ours")
    assert result.remarks == ()


def test_timms_img_size_goes_before_the_size_beside_it(tmp_path: Path):
    config = {**TIMM, "model_args": {"num_heads": 8, "img_size": 32}, "pretrained_cfg": {"input_size": [3, 64, 64]}}
    spec = read_checkpoint(hub(tmp_path, state_of(), config)).package.preprocess
    assert (spec.height, spec.width) == (32, 32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"global_pool": "avg"}, "global_pool is 'avg'"),
        ({"label_names": ["a"]}, "1 label_names"),
        ({"pretrained_cfg": {"input_size": [3, 64, 64]}}, "'pos_embed' has shape (1, 5, 64), the network wants (1, 17"),
        ({"architecture": None, "model_type": "beit"}, "model_type 'beit'"),
    ],
)
def test_a_folder_that_contradicts_its_weights(changes: dict[str, Any], words: str, tmp_path: Path):
    config = {key: value for key, value in {**TIMM, **changes}.items() if value is not None}
    refused(hub(tmp_path, state_of(), config), words)


def test_the_tutorials_class_indices(tmp_path: Path):
    names = {str(i): f"flower {i}" for i in range(5)}
    package = load_checkpoint(hub(tmp_path, state_of(), TIMM | {"label_names": None}, class_indices=names))
    assert package.labels == tuple(names.values())


def test_labels_given_go_before_those_found(tmp_path: Path):
    folder = hub(tmp_path, state_of(), TIMM)
    assert load_checkpoint(folder, ConvertOptions(labels=("v", "w", "x", "y", "z"))).labels == ("v", "w", "x", "y", "z")
    refused(folder, "1 label_names", options=ConvertOptions(labels=("v",)))


HF = {
    "model_type": "vit",
    "hidden_act": "gelu_new",
    "num_attention_heads": 2,
    "layer_norm_eps": 1e-5,
    "image_size": 32,
    "id2label": {"0": "crane", "1": "crane", "2": "b", "3": "c", "4": "d"},
    "label2id": {"crane": 1},
}


@pytest.mark.parametrize("generation", ["transformers 4", "transformers 5"])
@pytest.mark.parametrize("size", [32, {"height": 32, "width": 32}])
def test_transformers_folder(generation: str, size: Any, tmp_path: Path):
    from app.checkpoints.hf import LAYOUTS
    from app.checkpoints.rules import Dims, write

    layout = next(each for each in LAYOUTS if each.name == f"{generation}, ViTForImageClassification")
    state, _ = write(layout, state_of(), Dims(2))
    state["vit.embeddings.mask_token"] = torch.ones(1)
    processor = {"feature_extractor_type": "ViTFeatureExtractor", "size": size, "resample": 3}
    state = {key: tensor.clone() for key, tensor in state.items()}
    result = read_checkpoint(hub(tmp_path, state, HF, preprocessor_config=processor))
    config, spec = result.package.network.config, result.package.preprocess
    assert (config.num_heads, config.norm_eps, config.gelu) == (2, 1e-5, "tanh")
    assert (spec.crop_mode, spec.interpolation, spec.mean) == ("squash", "bicubic", (0.5, 0.5, 0.5))
    assert result.package.labels == ("crane", "crane", "b", "c", "d")
    assert result.remarks == ("left out: vit.embeddings.mask_token (only masked-image pre-training uses it)",)
