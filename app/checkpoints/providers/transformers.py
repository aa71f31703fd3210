"""Owns the networks that transformers builds for image classification; does not run what a repository holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from app.checkpoints.folder import Files
from app.checkpoints.kinds import ADAPTER
from app.checkpoints.providers.seam import Provided, first_line
from app.checkpoints.providers.torchvision import make_importable
from app.errors import PackageError
from app.package.config import CONFIG_NAME
from app.package.hf_preprocessing import flips_channels
from app.package.preprocessing import preprocess_from_hf

# What a configuration may ask to be fetched or installed besides, none of which is served here.
_FETCHED: Final = ("quantization_config", "use_pretrained_backbone", "use_timm_backbone")


class Transformers:
    """`AutoModelForImageClassification` for a folder that transformers wrote."""

    library: Final = "transformers"

    def network_name(self, config: Mapping[str, Any]) -> str | None:
        """The class, or where none is stated the `model_type`."""
        if "architecture" in config or "model_type" not in config:
            return None
        classes = config.get("architectures")
        return str(classes[0] if isinstance(classes, list) and classes else config["model_type"])

    def provide(self, folder: Path, files: Files) -> Provided:
        """As transformers builds it, from safetensors or a PyTorch file that holds tensors alone. Raises PackageError.

        Code in the repository is never run, nor is anything fetched.
        """
        make_importable()
        if (folder / ADAPTER).is_file():
            raise PackageError(f"{ADAPTER} is beside the weights; merge it into them, for no adapter is applied here")
        document = files.config or {}
        kind = str(document["model_type"])
        config = _config(folder, document, kind)
        if files.preprocessor is None:
            raise PackageError("there is no preprocessor_config.json to say how images are prepared")
        spec = preprocess_from_hf(files.preprocessor, kind)
        network, unknown = _network(folder, config)
        _pool_whole(network, max(spec.height, spec.width))
        taken = _Logits(network, flips_channels(files.preprocessor, kind))
        remarks = [f"left out: {key} (unknown to transformers)" for key in unknown]
        return Provided(taken, spec, type(network).__name__, remarks=tuple(remarks))


class _Logits(nn.Module):
    """A classifier of transformers as a function of images; its channels in the order that its processor gives."""

    def __init__(self, network: nn.Module, flip: bool) -> None:
        super().__init__()
        self.network, self._flip = network, flip

    def forward(self, images: Tensor) -> Tensor:
        """→ logits (batch, classes)."""
        logits: Tensor = self.network(pixel_values=images.flip(1) if self._flip else images).logits
        return logits


def _pool_whole(network: nn.Module, side_px: int) -> None:
    """Windows larger than the images, as EfficientNet's last, become the whole map: OpenVINO knows none."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.AvgPool2d and module.ceil_mode and module.padding == 0:
            kernel = module.kernel_size
            if (kernel if isinstance(kernel, int) else min(kernel)) > side_px:
                network.set_submodule(name, nn.AdaptiveAvgPool2d(1))


def _config(folder: Path, document: Mapping[str, Any], kind: str) -> Any:
    """The configuration in transformers' own class. Raises PackageError."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        if "auto_map" in document:
            raise PackageError(
                f"{CONFIG_NAME}: the network {kind!r} is code in the repository (auto_map), which is never run; "
                f"transformers {transformers.__version__} has none of that name"
            )
        raise PackageError(f"{CONFIG_NAME}: transformers {transformers.__version__} knows no model_type {kind!r}")
    if asked := next((key for key in _FETCHED if document.get(key)), None):
        raise PackageError(f"{CONFIG_NAME}: {asked} is set, which needs more than transformers and these weights")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # its checks raise whatever they please
        raise PackageError(f"{CONFIG_NAME}: transformers cannot read it: {first_line(error)}") from error
    if type(config) not in transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise PackageError(f"transformers has no classifier of images for the model_type {kind!r}")
    return config


def _network(folder: Path, config: Any) -> tuple[nn.Module, list[str]]:
    """The network with all its weights, and the names of those that it has no place for. Raises PackageError."""
    import transformers

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()  # what concerns a person is in the report
    kinds = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)]
    first = kinds[0] if isinstance(kinds, tuple) else kinds
    attention = "sdpa" if getattr(first, "_supports_sdpa", False) else "eager"  # stated: a file may ask for a download
    try:
        network, report = transformers.AutoModelForImageClassification.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            attn_implementation=attention,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # but told in the report
            output_loading_info=True,
        )
    except Exception as error:
        raise PackageError(f"transformers {transformers.__version__} cannot build it: {first_line(error)}") from error
    if other := sorted(each if isinstance(each, str) else each[0] for each in report["mismatched_keys"]):
        raise PackageError(f"the shape of {other[0]!r} is not that of its place in the network")
    if absent := sorted(report["missing_keys"]):
        raise PackageError(f"there is no tensor for {absent[0]!r}")
    return network, sorted(report["unexpected_keys"])
