"""Owns the choice of device and precision; does not run batches."""

import copy
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from app.domain import PreprocessSpec, Scoring
from app.errors import DeviceError
from app.graphs.agreement import disagreement
from app.network.fold import PIXEL_OFFSET
from app.network.library import Network, refusal
from app.network.precision import computes_in_bfloat16

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
    name: str, network: Network, spec: PreprocessSpec, device: torch.device, scoring: Scoring
) -> tuple[Network, torch.dtype]:
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
        network = network.to(_DTYPES[name])
        if reason := refusal(network, spec.height, spec.width):
            raise DeviceError(reason)
        return network, _DTYPES[name]
    if computes_in_bfloat16(device):
        rounded = copy.deepcopy(network).to(torch.bfloat16)
        computes = refusal(rounded, spec.height, spec.width) is None
        if computes and _agree(*_answers(network, rounded, spec, device), scoring):
            return rounded, torch.bfloat16
    return network, torch.float32


@torch.inference_mode()
def _answers(exact: Network, rounded: Network, spec: PreprocessSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Both networks' logits of smooth random pictures, whose statistics are nearer to photographs than noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(_PROBES, 3, 4, 4, generator=generator)
    pictures = F.interpolate(coarse, size=(spec.height, spec.width), mode="bilinear").to(device)
    pictures = (pictures * 64).round_().clamp_(-PIXEL_OFFSET, PIXEL_OFFSET - 1)
    return exact(pictures), rounded(pictures.to(torch.bfloat16)).float()


def _agree(exact: Tensor, rounded: Tensor, scoring: Scoring) -> bool:
    """Of classes that exclude each other it is the first that counts; of all others each."""
    if scoring.activation != "softmax":
        return disagreement(exact.cpu().numpy(), rounded.cpu().numpy(), scoring) is None
    scores, winners = exact.softmax(dim=1), rounded.argmax(dim=1, keepdim=True)
    return bool((scores.amax(dim=1, keepdim=True) - scores.gather(1, winners) < _TIE).all())


def free_and_total() -> tuple[int, int]:
    """Bytes of the GPU's memory."""
    free, total = torch.cuda.mem_get_info()
    return int(free), int(total)
