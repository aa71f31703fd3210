# mypy: ignore-errors
"""Owns networks of timm and transformers that ours cannot be, and our answers by them; run as `reference.py` is.

`libraries.py make LIBRARY FOLDER` saves each as the library does, every number drawn anew, with pixels and the logits
that the library gives for them. `libraries.py serve LIBRARY FOLDER`, in a process where the library can be imported,
writes beside them what our way gives, in torch and in OpenVINO.
"""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

# torchvision's compiled part is for another torch; of it, timm needs the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

# As published but for the number of layers and the images, which are small.
TIMM: dict[str, dict[str, Any]] = {
    "swin_tiny_patch4_window7_224": {"img_size": 112, "depths": (1, 1, 2, 1)},
    "swinv2_tiny_window8_256": {"img_size": 128, "depths": (1, 1, 2, 1), "window_size": 4},
    "convnext_atto": {},
    "convnextv2_atto": {},
    "efficientnet_b0": {},
    "tf_efficientnet_b0": {},
    "resnet18": {},
    "resnetv2_50": {},
    "regnety_002": {},
    "mobilenetv3_small_050": {},
    "mobilenetv4_conv_small": {},
    "mobilevit_xxs": {},
    "beit_base_patch16_224": {"img_size": 64, "depth": 2},
    "eva02_tiny_patch14_224": {"img_size": 56, "depth": 3},
    "vit_small_patch16_dinov3": {"img_size": 64, "depth": 2},
    "vit_small_patch16_rope_ape_224": {"img_size": 64, "depth": 2},
    "cait_xxs24_224": {"img_size": 64, "depth": 2},
    "levit_128s": {},
    "xcit_nano_12_p16_224": {"img_size": 64, "depth": 2},
    "maxvit_pico_rw_256": {},
    "mixer_s32_224": {},
    "pvt_v2_b0": {},
    "tiny_vit_5m_224": {},
    "hiera_tiny_224": {},
    "densenet121": {},
}
SIZES = {"convnext": 64, "efficientnet": 64, "resnet": 64, "regnety": 64, "mobilenet": 64, "densenet": 64, "pvt": 64}


def drawn(network: Any) -> Any:
    """The network in evaluation, numbers such that what passes through it keeps its size."""
    torch.manual_seed(0)
    for name, tensor in network.eval().requires_grad_(False).named_parameters():
        if tensor.ndim < 2:
            tensor.normal_(mean=1.0 if name.endswith("weight") or "gamma" in name else 0.0, std=0.1)
        else:
            tensor.normal_(std=(1 / max(tensor[0].numel(), 1)) ** 0.5)
    for name, tensor in network.named_buffers():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(std=0.1)
    return network


def expect(folder: Path, network: Any, config: dict[str, Any]) -> None:
    """Pixels of smooth pictures at the size that the library prepares them at, and the logits it gives for them."""
    height, width = config["size"]
    torch.manual_seed(1)
    coarse = torch.randn(3, 3, 6, 6) * 64 + 128
    pixels = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 255).round()
    mean, std = (torch.tensor(config[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        out = network((pixels / 255 - mean) / std)
    np.save(folder / "pixels.npy", pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy())
    np.save(folder / "expected.npy", getattr(out, "logits", out).numpy())


def make_timm(out: Path) -> None:
    import timm
    from timm.models import save_for_hf

    for name, arguments in TIMM.items():
        size = arguments.get("img_size") or next((px for start, px in SIZES.items() if name.startswith(start)), None)
        network = drawn(timm.create_model(name, num_classes=7, **arguments))
        if size:
            network.pretrained_cfg["input_size"] = (3, size, size)
        folder = out / name
        saved = {**network.pretrained_cfg, "num_classes": 7}
        network.pretrained_cfg = saved
        save_for_hf(network, str(folder), model_args=arguments, safe_serialization=True)
        config = timm.data.resolve_model_data_config(network)
        expect(folder, network, {**config, "size": config["input_size"][1:]})


def transformers_cases() -> dict[str, tuple[Any, str, dict[str, Any]]]:
    """Name → the network, its processor's class and what is stated for it."""
    import transformers as t

    n, half = {"num_labels": 7}, {"size": {"height": 64, "width": 64}}
    vit = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    swin = {"image_size": 64, "patch_size": 4, "embed_dim": 24, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4}
    stages = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1]}
    convnext = {"size": {"shortest_edge": 64}, "crop_pct": 0.875, "resample": 3}
    short = {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}, "resample": 2}
    beit = {**half, "do_center_crop": False, "resample": 3}
    levit = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    pool = {**short, "crop_pct": 0.9}
    mobile = {"neck_hidden_sizes": [8, 16, 24, 32, 40, 48, 64], "hidden_sizes": [24, 32, 40], "image_size": 64}
    return {
        "swin": (t.SwinForImageClassification(t.SwinConfig(**swin, **n)), "ViT", half),
        "swinv2": (t.Swinv2ForImageClassification(t.Swinv2Config(**swin, **n)), "ViT", half),
        "convnext": (t.ConvNextForImageClassification(t.ConvNextConfig(**stages, **n)), "ConvNext", convnext),
        "convnextv2": (t.ConvNextV2ForImageClassification(t.ConvNextV2Config(**stages, **n)), "ConvNext", convnext),
        "resnet": (
            t.ResNetForImageClassification(t.ResNetConfig(**stages, embedding_size=16, **n)),
            "ConvNext",
            convnext,
        ),
        "regnet": (
            t.RegNetForImageClassification(t.RegNetConfig(**stages, groups_width=8, embedding_size=16, **n)),
            "ConvNext",
            convnext,
        ),
        "beit": (
            t.BeitForImageClassification(
                t.BeitConfig(**vit, image_size=64, use_relative_position_bias=True, use_mean_pooling=True, **n)
            ),
            "Beit",
            beit,
        ),
        "data2vec": (
            t.Data2VecVisionForImageClassification(
                t.Data2VecVisionConfig(**vit, image_size=64, use_shared_relative_position_bias=True, **n)
            ),
            "Beit",
            beit,
        ),
        "efficientnet": (
            t.EfficientNetForImageClassification(
                t.EfficientNetConfig(image_size=64, width_coefficient=0.5, depth_coefficient=0.3, hidden_dim=640, **n)
            ),
            "EfficientNet",
            {**half, "resample": 2},
        ),
        "levit": (
            t.LevitForImageClassification(
                t.LevitConfig(image_size=64, hidden_sizes=[32, 48, 64], num_attention_heads=[2, 3, 4], depths=[1] * 3)
            ),
            "Levit",
            levit,
        ),
        "mobilevit": (t.MobileViTForImageClassification(t.MobileViTConfig(**mobile, **n)), "MobileViT", short),
        "mobilenet_v1": (
            t.MobileNetV1ForImageClassification(t.MobileNetV1Config(depth_multiplier=0.25, **n)),
            "MobileNetV1",
            short,
        ),
        "mobilenet_v2": (
            t.MobileNetV2ForImageClassification(t.MobileNetV2Config(depth_multiplier=0.35, **n)),
            "MobileNetV2",
            short,
        ),
        "poolformer": (
            t.PoolFormerForImageClassification(t.PoolFormerConfig(**stages, **n)),
            "PoolFormer",
            pool,
        ),
        "pvt": (
            t.PvtForImageClassification(t.PvtConfig(image_size=64, depths=[1, 1, 1, 1])),
            "Pvt",
            {**half, "resample": 2},
        ),
        "focalnet": (
            t.FocalNetForImageClassification(
                t.FocalNetConfig(image_size=64, embed_dim=24, depths=[1, 1, 2, 1], hidden_sizes=[24, 48, 96, 192], **n)
            ),
            "Bit",
            {**short, "resample": 3},
        ),
        "hiera": (
            t.HieraForImageClassification(t.HieraConfig(image_size=[64, 64], depths=[1, 1, 2, 1], embed_dim=24, **n)),
            "Bit",
            {**short, "resample": 3},
        ),
        "segformer": (
            t.SegformerForImageClassification(
                t.SegformerConfig(depths=[1] * 4, hidden_sizes=[16, 32, 40, 64], num_attention_heads=[1, 2, 5, 8], **n)
            ),
            "Segformer",
            half,
        ),
    }


def make_transformers(out: Path) -> None:
    for name, (network, kind, stated) in transformers_cases().items():
        folder = out / name
        drawn(network).save_pretrained(folder)
        document = {"image_processor_type": f"{kind}ImageProcessor", **stated}
        document |= {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}
        (folder / "preprocessor_config.json").write_text(json.dumps(document))
        mean, std = document["image_mean"], document["image_std"]
        if kind == "EfficientNet":
            std = [each * each for each in std]
        taken = network
        if kind == "MobileViT":  # does not normalise, and gives blue first
            mean, std = [0.0] * 3, [1.0] * 3
            taken = lambda x, n=network: n(x.flip(1))  # noqa: E731
        expect(folder, taken, {"size": (64, 64), "mean": mean, "std": std})


def serve(out: Path) -> None:
    """As an engine does, without its threads: torch's logits and, read back from the graph, OpenVINO's."""
    from app.checkpoints.sources import load_servable
    from app.engine.runners.openvino import CompiledGraph, infer
    from app.errors import SetupError
    from app.graphs.export import export, logits_of
    from app.network.fold import fold_normalisation

    for folder in sorted(path.parent for path in out.glob("*/expected.npy")):
        pixels, answer = np.load(folder / "pixels.npy"), {}
        try:
            package = load_servable(str(folder))
            answer = {"architecture": package.architecture, "name": package.name, "labels": len(package.labels)}
            assert pixels.shape[1:3] == (package.preprocess.height, package.preprocess.width), package.preprocess
            fold_normalisation(package.network, package.preprocess)
            np.save(folder / "torch.npy", logits_of(package.network, pixels))
            export(package.network, pixels, folder / "float32.xml")
            request = CompiledGraph(folder / "float32.xml", "float32", cores=2, lanes=1).request()
            np.save(folder / "openvino.npy", np.concatenate([infer(request, pixels[:1]), infer(request, pixels[1:])]))
        except (SetupError, AssertionError) as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        (folder / "answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    _, command, library, place = sys.argv
    if command == "serve":
        serve(Path(place))
    else:
        {"timm": make_timm}.get(library, make_transformers)(Path(place))
