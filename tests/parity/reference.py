"""Owns what the other libraries themselves make of networks: run as a script, in a process where they are importable.

`reference.py make LIBRARY FOLDER` builds each case with every parameter and buffer drawn anew, saves it as the library
does, and beside it an input and the logits, in float32 and float64. `reference.py read LIBRARY FOLDER` loads what was
exported for the library from each subfolder and adds the logits that it gives for the input there.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file

# torchvision's compiled part is for another torch; of it, timm and the ViT need the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

SMALL = {"img_size": 48, "embed_dim": 64, "depth": 3, "num_heads": 4, "num_classes": 7}
HF = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160, "image_size": 48}
TV = {"image_size": 48, "patch_size": 16, "num_layers": 3, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 160}
BASE = {"patch_size": 16, "num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
RELATIVES = (
    *("eva02_base_patch14_224", "beit_base_patch16_224", "vit_base_patch16_rpn_224", "vit_small_patch16_dinov3"),
    *("vit_small_patch16_rope_ape_224", "vit_pe_core_tiny_patch16_384", "vit_pe_spatial_tiny_patch16_512"),
)


def drawn(network: Any) -> Any:
    """The network in evaluation, no number left as its constructor put it."""
    torch.manual_seed(0)
    for name, tensor in network.eval().requires_grad_(False).state_dict().items():
        if tensor.is_floating_point():
            scale = "norm" in name.lower() or "ln" in name or "bn" in name
            tensor.normal_(mean=1.0 if scale and name.endswith("weight") else 0.0, std=0.2 if scale else 0.05)
    return network


def answer(
    network: Any, folder: Path, size: int | Sequence[int], call: Callable[[Any, Any], Any], channels: int = 3
) -> None:
    """Writes an input and what the network gives for it in both precisions."""
    height, width = (size, size) if isinstance(size, int) else size
    torch.manual_seed(1)
    x = torch.randn(1, channels, height, width, dtype=torch.float64)
    with torch.inference_mode():
        single = call(network, x.float()).clone()
        double = call(network.double(), x).clone()
    save_file({"x": x, "float32": single.contiguous(), "float64": double.contiguous()}, folder / "expected.safetensors")


def make_timm(out: Path) -> None:
    import timm
    from timm.models import save_for_hf

    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "plain": ("vit_tiny_patch16_224", {"depth": 2, "img_size": 48}),
        "hub": ("vit_base_patch16_224", SMALL),
        "no_class_row": ("vit_base_patch16_224", {**SMALL, "no_embed_class": True}),
        "no_qkv_bias": ("vit_base_patch16_224", {**SMALL, "qkv_bias": False}),
        "hybrid_r50": ("vit_base_r50_s16_224", {**SMALL, "img_size": 64}),
        "hybrid_r26": ("vit_small_r26_s32_224", {**SMALL, "img_size": 64}),
        "hybrid_stem": ("vit_tiny_r_s16_p8_224", {**SMALL, "img_size": 96}),
        "distilled": ("deit_tiny_distilled_patch16_224", {"depth": 2, "img_size": 48}),
        "full": ("vit_base_patch16_224", {}),
    }
    for name, (architecture, arguments) in cases.items():
        network = drawn(timm.create_model(architecture, **arguments))
        folder = new(out / name)
        state = network.state_dict()
        if name == "plain":
            torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, folder / "weights.pth")
        elif name == "hub":
            save_for_hf(network, str(folder), model_args=arguments, safe_serialization=True)
        else:
            save_file(state, folder / "weights.safetensors")
        answer(network, folder, arguments.get("img_size", 224), lambda n, x: n(x))
    for architecture in RELATIVES:
        if architecture in timm.list_models():
            network = timm.create_model(architecture, depth=1, num_classes=5)
            save_file(network.state_dict(), new(out / "relatives" / architecture) / "weights.safetensors")


def make_npz(out: Path) -> None:
    """Google's arrays, written by hand out of a timm network, and read back by timm's own reader."""
    import timm

    from tests.parity.google import write_npz

    cases: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "plain": ("vit_base_patch16_224", SMALL, {}),
        "optimizer": ("vit_base_patch16_224", SMALL, {"prefix": "opt/target/"}),
        "big_vision": (
            "vit_base_patch16_224",
            SMALL,
            {"linen": True, "prefix": "params/", "position": "pos_embedding"},
        ),
        "stacked": (
            "vit_base_patch16_224",
            {**SMALL, "no_embed_class": True},
            {"linen": True, "prefix": "params/", "position": "pos_embedding", "stacked": True},
        ),
        "hybrid_r50": ("vit_base_r50_s16_224", {**SMALL, "img_size": 64}, {}),
        "hybrid_r26": ("vit_small_r26_s32_224", {**SMALL, "img_size": 64}, {"flat_norms": True}),
        "hybrid_stem": ("vit_tiny_r_s16_p8_224", {**SMALL, "img_size": 96}, {}),
        "siglip": (
            "vit_base_patch16_siglip_224",
            SMALL,
            {"linen": True, "prefix": "params/img/", "position": "pos_embedding"},
        ),
        "siglip_stacked": (
            "vit_base_patch16_siglip_224",
            SMALL,
            {"linen": True, "prefix": "params/img/", "position": "pos_embedding", "stacked": True},
        ),
        "full": ("vit_base_patch16_224", {}, {}),
    }
    for name, (architecture, arguments, form) in cases.items():
        source = drawn(timm.create_model(architecture, **arguments))
        folder = new(out / name)
        write_npz(folder / "weights.npz", source.state_dict(), source.blocks[0].attn.num_heads, **form)
        reader: Any = drawn(timm.create_model(architecture, **arguments))
        for parameter in reader.parameters():
            parameter.zero_()
        reader.load_pretrained(str(folder / "weights.npz"))
        save_file(reader.state_dict(), folder / "state.safetensors")
        answer(reader, folder, arguments.get("img_size", 224), lambda n, x: n(x))


def make_transformers(out: Path) -> None:
    import transformers as t

    five = int(t.__version__.partition(".")[0]) >= 5
    labels = {"id2label": {i: f"thing {i}" for i in range(5)}, "label2id": {f"thing {i}": i for i in range(5)}}
    cases: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "plain": (t.ViTForImageClassification, t.ViTConfig(**HF, **labels), {}),
        "tanh": (t.ViTForImageClassification, t.ViTConfig(**HF, hidden_act="gelu_new", layer_norm_eps=1e-3), {}),
        "no_qkv_bias": (t.ViTForImageClassification, t.ViTConfig(**HF, qkv_bias=False), {}),
        "sharded": (t.ViTForImageClassification, t.ViTConfig(**HF), {"max_shard_size": "100KB"}),
        "teacher": (t.DeiTForImageClassificationWithTeacher, t.DeiTConfig(**HF), {}),
        "deit": (t.DeiTForImageClassification, t.DeiTConfig(**HF), {}),
        "model": (t.ViTModel, t.ViTConfig(**HF), {}),
        "full": (t.ViTForImageClassification, t.ViTConfig(num_labels=1000), {}),
    }
    if five:
        cases["new_names"] = (t.ViTForImageClassification, t.ViTConfig(**HF), {"save_original_format": False})
        cases["deit_new_names"] = (
            t.DeiTForImageClassificationWithTeacher,
            t.DeiTConfig(**HF),
            {"save_original_format": False},
        )
    else:
        backbone = {"layer_type": "bottleneck", "depths": [2, 1, 3], "hidden_sizes": [256, 512, 1024], "num_groups": 32}
        backbone |= {"global_padding": "same", "embedding_dynamic_padding": True, "out_features": ["stage3"]}
        shape = {**HF, "image_size": 64, "patch_size": 1, "backbone_featmap_shape": [1, 1024, 4, 4]}
        quieted()
        hybrid = t.ViTHybridConfig(**shape, backbone_config=t.BitConfig(**backbone))
        cases["hybrid"] = (t.ViTHybridForImageClassification, hybrid, {})
    for name, (kind, config, options) in cases.items():
        network = drawn(kind(config))
        folder = new(out / name)
        network.save_pretrained(folder, **options)
        t.ViTImageProcessor(size={"height": config.image_size, "width": config.image_size}).save_pretrained(folder)
        answer(network, folder, config.image_size, _pooled if kind is t.ViTModel else _logits)


def quieted() -> None:
    """Hybrids of transformers 4 fail over a mask token that they have not when they draw weights; ours are drawn."""
    from transformers.models.deprecated.vit_hybrid import modeling_vit_hybrid

    modeling_vit_hybrid.ViTHybridPreTrainedModel._init_weights = lambda self, module: None


def _logits(network: Any, x: Any) -> Any:
    return network(pixel_values=x).logits


def _pooled(network: Any, x: Any) -> Any:
    return network(pixel_values=x).pooler_output


def _linear() -> Any:
    return torch.nn.Linear(TV["hidden_dim"], 5)


# As tutorials put a new head on torchvision's network; of the last two no tensor says what stands between.
HEADS: dict[str, Callable[[Any], None]] = {
    "bare": lambda n: setattr(n, "heads", _linear()),
    "first": lambda n: n.heads.__setitem__(0, _linear()),
    "named": lambda n: setattr(n.heads, "head", _linear()),
    "sequential": lambda n: setattr(n, "heads", torch.nn.Sequential(_linear())),
    "dropout": lambda n: setattr(n, "heads", torch.nn.Sequential(torch.nn.Dropout(0.2), _linear())),
    "named_dropout": lambda n: setattr(n.heads, "head", torch.nn.Sequential(torch.nn.Dropout(0.2), _linear())),
    "two": lambda n: setattr(n, "heads", torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), _linear())),
    "norm": lambda n: setattr(n.heads, "head", torch.nn.Sequential(torch.nn.LayerNorm(64), _linear())),
}


def make_torchvision(out: Path) -> None:
    from torchvision.models.vision_transformer import VisionTransformer

    cases: dict[str, dict[str, Any]] = {
        "plain": {**TV, "num_classes": 7},
        "pre_logits": {**TV, "representation_size": 32},
        "old_names": TV,
        "full": {**BASE, "image_size": 224},
        **{f"head_{name}": TV for name in HEADS},
    }
    for name, arguments in cases.items():
        network: Any = VisionTransformer(**arguments)
        HEADS.get(name.removeprefix("head_"), lambda n: None)(network)
        network = drawn(network)
        folder = new(out / name)
        state = network.state_dict()
        if name == "old_names":
            state = {k.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): v for k, v in state.items()}
        torch.save(state, folder / "weights.pth")
        answer(network, folder, arguments["image_size"], lambda n, x: n(x))


def new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def read_timm(folder: Path, case: dict[str, Any]) -> Any:
    import timm

    if (folder / case["file"]).is_dir():
        return timm.create_model(f"local-dir:{folder / case['file']}", pretrained=True), lambda n, x: n(x)
    network: Any = timm.create_model(case["architecture"], **case["arguments"])
    if case["file"].endswith(".npz"):
        network.load_pretrained(str(folder / case["file"]))
    else:
        network.load_state_dict(load_file(folder / case["file"]))
    return network, lambda n, x: n(x)


def read_transformers(folder: Path, case: dict[str, Any]) -> Any:
    import transformers

    if "Hybrid" in case["class"]:
        quieted()
    kind = getattr(transformers, case["class"])
    network, report = kind.from_pretrained(folder / case["file"], output_loading_info=True)
    wrong = {key: list(value) for key, value in report.items() if value}
    assert not wrong, wrong
    return network, _logits


def read_torchvision(folder: Path, case: dict[str, Any]) -> Any:
    from torchvision.models.vision_transformer import VisionTransformer

    network = VisionTransformer(**case["arguments"])
    network.load_state_dict(torch.load(folder / case["file"], weights_only=True))
    return network, lambda n, x: n(x)


MAKE = {
    "timm": make_timm,
    "npz": make_npz,
    "transformers4": make_transformers,
    "transformers5": make_transformers,
    "torchvision": make_torchvision,
}
READ = {
    "timm": read_timm,
    "npz": read_timm,
    "transformers4": read_transformers,
    "transformers5": read_transformers,
    "torchvision": read_torchvision,
}

if __name__ == "__main__":
    _, command, library, place = sys.argv
    if command == "make":
        MAKE[library](Path(place))
    else:
        for described in sorted(Path(place).glob("*/case.json")):
            case = json.loads(described.read_text())
            network, call = READ[library](described.parent, case)
            answer(network.eval(), described.parent, case["size"], call, case.get("channels", 3))
