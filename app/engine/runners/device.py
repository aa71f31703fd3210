"""Owns the choice of device and precision; does not run batches."""

import copy
from typing import Final

import torch
import torch.nn.functional as F

from app.domain import PreprocessSpec
from app.errors import DeviceError
from app.network.fold import PIXEL_OFFSET
from app.network.precision import computes_in_bfloat16
from app.network.vit import VisionTransformer

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PROBES: Final = 4
_TIE: Final = 0.02  # two classes whose scores are this close have no order worth defending


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:n` → a device that exists. Raises DeviceError."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise DeviceError(f"device {name!r} was asked for, but this machine shows {torch.cuda.device_count()} GPUs")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def to_precision(
    name: str, network: VisionTransformer, spec: PreprocessSpec, device: torch.device
) -> tuple[VisionTransformer, torch.dtype]:
    """The float32 network on its device in the number format to compute in, and that format.

    The network takes pixels minus PIXEL_OFFSET.
    `auto`: bfloat16 where the device computes in it and where its answers to a few test pictures are those of
    float32. Raises DeviceError for a format that the device has not.
    """
    network = network.to(device)
    torch.backends.cudnn.allow_tf32 = False  # convolutions in float32 are then exact, as matrix products are anyway
    if name == "float16" and device.type == "cpu":
        raise DeviceError("float16 is for GPUs; on a CPU use bfloat16 or float32")
    if name != "auto":
        return network.to(_DTYPES[name]), _DTYPES[name]
    if computes_in_bfloat16(device):
        rounded = copy.deepcopy(network).to(torch.bfloat16)
        if _agree(network, rounded, spec, device):
            return rounded, torch.bfloat16
    return network, torch.float32


@torch.inference_mode()
def _agree(exact: VisionTransformer, rounded: VisionTransformer, spec: PreprocessSpec, device: torch.device) -> bool:
    """Compares the first answers to smooth random pictures, whose statistics are nearer to photographs than noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(_PROBES, 3, 4, 4, generator=generator)
    pictures = F.interpolate(coarse, size=(spec.height, spec.width), mode="bilinear").to(device)
    pictures = (pictures * 64).round_().clamp_(-PIXEL_OFFSET, PIXEL_OFFSET - 1)
    scores = exact(pictures).softmax(dim=1)
    winners = rounded(pictures.to(torch.bfloat16)).argmax(dim=1, keepdim=True)
    return bool((scores.amax(dim=1, keepdim=True) - scores.gather(1, winners) < _TIE).all())
