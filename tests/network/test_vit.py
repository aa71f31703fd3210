from dataclasses import replace

import pytest
import torch
from torch import Tensor

from app.errors import UnknownVariant
from app.network.drop import DropPath, PatchDropout
from app.network.vit import VisionTransformer
from app.package.variants import VARIANTS, ViTConfig, variant

# Parameters: without head, 1000 classes, 1000 + pre-logits, 21843, 21843 + pre-logits. The 1000-class column is
# Google's own `models_test.py`; the rest follows from it by arithmetic.
PARAMETERS = {
    "vit_tiny_patch16_224": (5_524_416, 5_717_416, 5_754_472, 9_740_115, 9_777_171),
    "vit_small_patch32_224": (22_493_952, 22_878_952, 23_026_792, 30_903_507, 31_051_347),
    "vit_small_patch16_224": (21_665_664, 22_050_664, 22_198_504, 30_075_219, 30_223_059),
    "vit_base_patch32_224": (87_455_232, 88_224_232, 88_814_824, 104_252_499, 104_843_091),
    "vit_base_patch16_224": (85_798_656, 86_567_656, 87_158_248, 102_595_923, 103_186_515),
    "vit_base_patch8_224": (85_807_872, 86_576_872, 87_167_464, 102_605_139, 103_195_731),
    "vit_large_patch32_224": (305_510_400, 306_535_400, 307_585_000, 327_899_475, 328_949_075),
    "vit_large_patch16_224": (303_301_632, 304_326_632, 305_376_232, 325_690_707, 326_740_307),
    "vit_huge_patch14_224": (630_764_800, 632_045_800, 633_685_480, 658_745_683, 660_385_363),
}


def count(config: ViTConfig) -> int:
    return sum(p.numel() for p in VisionTransformer(config).parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name: str) -> None:
    base = variant(name)
    bare, *expected = PARAMETERS[name]
    configs = [
        replace(base, num_classes=classes, representation_size=hidden)
        for classes in (1000, 21843)
        for hidden in (None, base.embed_dim)
    ]
    assert [count(config) for config in configs] == expected
    network = VisionTransformer(base)
    assert count(base) - sum(p.numel() for p in network.head.parameters()) == bare


def randomised(config: ViTConfig) -> VisionTransformer:
    torch.manual_seed(3)
    network = VisionTransformer(config).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval().requires_grad_(False)


SMALL = replace(variant("vit_pico_patch4_32"), depth=3)


def paper(network: VisionTransformer, x: Tensor) -> Tensor:
    """The network once more, written out of the paper's equations, with none of its modules called."""
    config, p = network.config, dict(network.named_parameters())
    size, width, heads = config.patch_size, config.embed_dim, config.num_heads

    def norm(t: Tensor, name: str) -> Tensor:
        centred = t - t.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * p[name + ".weight"] + p[name + ".bias"]

    def linear(t: Tensor, name: str) -> Tensor:
        return t @ p[name + ".weight"].T + p[name + ".bias"]

    patches = x.unfold(2, size, size).unfold(3, size, size)  # (B, C, rows, columns, size, size)
    flat = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    tokens = flat @ p["patch_embed.proj.weight"].flatten(1).T + p["patch_embed.proj.bias"]
    z = torch.cat([p["cls_token"].expand(len(x), 1, width), tokens], 1) + p["pos_embed"]
    for i in range(config.depth):
        q, k, v = linear(norm(z, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv").split(width, -1)
        parts = []
        for h in range(heads):
            own = slice(h * width // heads, (h + 1) * width // heads)
            weights = (q[..., own] @ k[..., own].transpose(1, 2) / (width / heads) ** 0.5).softmax(-1)
            parts.append(weights @ v[..., own])
        z = z + linear(torch.cat(parts, -1), f"blocks.{i}.attn.proj")
        hidden = linear(norm(z, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")
        gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        z = z + linear(gelu, f"blocks.{i}.mlp.fc2")
    y = norm(z, "norm")[:, 0]
    if config.representation_size:
        y = linear(y, "pre_logits.fc").tanh()
    return linear(y, "head")


@pytest.mark.parametrize("hidden", [None, 96])
def test_it_is_the_papers_network(hidden: int | None) -> None:
    network = randomised(replace(SMALL, representation_size=hidden, img_size=(32, 24)))
    x = torch.randn(2, 3, 32, 24, dtype=torch.float64)
    torch.testing.assert_close(network(x), paper(network, x), atol=1e-10, rtol=0)


def test_the_last_blocks_shortcut_changes_nothing() -> None:
    network = randomised(SMALL)
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(network(x), network.forward_head(network.forward_features(x)), atol=1e-10, rtol=0)
    assert network.forward_features(x).shape == (3, 65, 128)


def test_names_are_timms() -> None:
    names = set(VisionTransformer(replace(SMALL, depth=1, representation_size=8)).state_dict())
    block = {
        f"blocks.0.{layer}.{kind}"
        for layer in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    }
    outer = {
        f"{layer}.{kind}"
        for layer in ("patch_embed.proj", "norm", "head", "pre_logits.fc")
        for kind in ("weight", "bias")
    }
    assert names == block | outer | {"cls_token", "pos_embed"}


@pytest.mark.parametrize("shape", [(1, 3, 31, 32), (1, 3, 32, 36), (1, 1, 32, 32), (3, 32, 32)])
def test_input_that_does_not_fit_is_refused_with_both_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="3, 32, 32") as caught:
        randomised(SMALL)(torch.zeros(shape, dtype=torch.float64))
    assert str(shape) in str(caught.value)


def test_drop_path_grows_linearly_and_keeps_the_expectation() -> None:
    network = VisionTransformer(replace(SMALL, depth=5, drop_path_rate=0.4))
    rates = [m.rate for m in network.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    torch.manual_seed(0)
    dropped = DropPath(0.25).train()(torch.ones(20_000, 2, 2))
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped.flatten(1).amax(1) == dropped.flatten(1).amin(1)).all()  # a sample as a whole


def test_what_regularises_is_off_in_evaluation() -> None:
    rates = {"drop_rate": 0.5, "attn_drop_rate": 0.5, "drop_path_rate": 0.5, "patch_drop_rate": 0.5}
    plain, regularised = randomised(SMALL), randomised(replace(SMALL, **rates))  # type: ignore[arg-type]
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    assert torch.equal(plain(x), regularised(x))
    assert not torch.equal(regularised.train()(x), regularised(x))


def test_patch_dropout_keeps_the_class_token_and_real_patches() -> None:
    x = torch.arange(65.0).view(1, 65, 1).expand(4, -1, 2)
    kept = PatchDropout(0.75).train()(x)[..., 0]
    assert kept.shape == (4, 17)
    assert (kept[:, 0] == 0).all()
    assert all(len(set(row.tolist())) == 17 for row in kept)


def test_initial_weights_are_the_tutorials() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(replace(variant("vit_tiny_patch16_224"), depth=2))
    network.init_weights()
    state = network.state_dict()
    assert state["pos_embed"].std().item() == pytest.approx(0.02, rel=0.05)
    assert state["blocks.0.mlp.fc1.weight"].std().item() == pytest.approx(0.01, rel=0.05)
    assert state["patch_embed.proj.weight"].std().item() == pytest.approx((2 / (192 * 256)) ** 0.5, rel=0.05)
    assert all(not value.any() for name, value in state.items() if name.endswith("bias"))
    assert all((value == 1).all() for name, value in state.items() if "norm" in name and name.endswith("weight"))


def test_neighbours_in_the_batch_do_not_matter() -> None:
    network = randomised(SMALL)
    x = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]), atol=1e-12, rtol=0)


def test_a_mirroring_network_answers_an_image_and_its_mirror_image_alike() -> None:
    torch.manual_seed(0)
    plain = VisionTransformer(replace(variant("vit_pico_patch4_32"), depth=2)).eval()
    plain.init_weights()
    network = VisionTransformer(replace(plain.config, mirror=True)).eval()
    network.load_state_dict(plain.state_dict())
    x = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected = (plain(x) + plain(x.flip(3))) / 2
        torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(network(x.flip(3)), expected, atol=1e-6, rtol=1e-5)
        assert (plain(x) - expected).abs().max() > 1e-4
    assert torch.equal(network.train()(x), plain.train()(x))


def test_variants_are_known_by_timms_names() -> None:
    assert variant("vit_base_patch16_224").num_tokens == 197
    assert VARIANTS["vit_huge_patch14_224"].grid_size == (16, 16)
    with pytest.raises(UnknownVariant, match="vit_tiny_patch16_224"):
        variant("resnet50")


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"num_heads": 5}, {"img_size": (2, 2)}, {"num_classes": -1}])
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        replace(SMALL, **wrong)  # type: ignore[arg-type]
