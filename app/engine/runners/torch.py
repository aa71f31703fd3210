"""Owns the forward pass in PyTorch: slots in, best classes out; does not know jobs or futures."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.domain import Scoring
from app.engine.client import OutOfDeviceMemory, Scores
from app.engine.heap import return_unused_memory
from app.errors import InferenceFailed
from app.network.fold import PIXEL_OFFSET
from app.network.library import Network

# After each layer threads wait for each other: in a busy process, where they may not spin, so long.
_LAYER_WAIT_S: Final = 1e-4


@dataclass(frozen=True, slots=True)
class TorchRunnerConfig:
    """How a lane uses the device. `cores` of the machine are shared between `lanes` lanes."""

    device: torch.device
    dtype: torch.dtype
    max_batch_size: int
    cores: int = 1
    lanes: int = 1
    scoring: Scoring = Scoring()


class TorchRunner:
    """One lane. The network, which takes pixels (see `fold_normalisation`), is shared between lanes; it is only read.

    On a GPU batches are padded to a power of two, so that few shapes occur; on a CPU padding would only cost.
    """

    def __init__(
        self,
        network: Network,
        pixels: npt.NDArray[np.uint8],
        config: TorchRunnerConfig,
    ) -> None:
        self.max_batch_size = config.max_batch_size
        self._network, self._config = network, config
        self._pixels = torch.from_numpy(pixels)  # (slots, height, width, 3), shared memory with the slots
        sizes = range(1, config.max_batch_size + 1)
        self._buckets = sorted({self._bucket(size) for size in sizes}) if config.device.type == "cuda" else list(sizes)
        self._share = max(1, config.cores // config.lanes)
        self._least_alone = 1  # images in a batch from which all cores are faster than a share of them

    def warm_up(self) -> None:
        """Runs every batch size once, largest first, so that memory is claimed once; on all cores and on a share.

        Raises InferenceFailed if what comes out are no numbers.
        """
        for size in reversed(self._buckets):
            self.run([0] * size, [1] * size, alone=False)
        started_at = time.perf_counter()  # again: the first of a size also makes its kernels
        [best] = self.run([0], [1], alone=False)
        self._least_alone = self._worth_all_cores(time.perf_counter() - started_at)
        if not math.isfinite(best.scores[0]):
            raise InferenceFailed("the network gives no finite scores, for whatever image")
        size = min(self._least_alone, self.max_batch_size)
        self.run([0] * size, [1] * size, alone=True)
        return_unused_memory()

    def _worth_all_cores(self, image_s: float) -> int:
        """The least batch that saves more by all cores than its layers' waiting costs, from an image's seconds."""
        layers = sum(1 for module in self._network.modules() if not any(module.children()))
        saved_s = image_s * (1 - self._share / self._config.cores)
        return math.ceil(layers * _LAYER_WAIT_S / saved_s) if saved_s else 1

    @torch.inference_mode()
    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        """The best classes of each slot, as many as `top_ks` says, 0: all logits. Raises OutOfDeviceMemory."""
        if self._config.device.type == "cpu":  # OpenMP's team belongs to the calling thread
            all_cores = alone and len(slots) >= self._least_alone
            torch.set_num_threads(self._config.cores if all_cores else self._share)
        try:
            logits = self._network(self._load(slots))[: len(slots)].float()
            scores, indices = _scores(logits, self._config.scoring).topk(max(top_ks))
            rows = {n: Scores(logits[n].tolist(), []) for n, k in enumerate(top_ks) if not k}
            # On the host at once, then to Python's numbers only what was asked for: they hold up other threads.
            best, which = scores.cpu().numpy(), indices.cpu().numpy()
            return [rows.get(n) or Scores(best[n, :k].tolist(), which[n, :k].tolist()) for n, k in enumerate(top_ks)]
        except torch.OutOfMemoryError as error:
            raise OutOfDeviceMemory(str(error)) from error

    def _load(self, slots: Sequence[int]) -> Tensor:
        """Slots → (bucket, 3, height, width) minus PIXEL_OFFSET, on the device; the slots are free to be reused."""
        images = self._pixels[list(slots)]  # a copy, still uint8: a quarter of the bytes to move
        if self._config.device.type == "cuda":
            padding = self._bucket(len(slots)) - len(slots)
            images = torch.cat([images, images[:1].expand(padding, -1, -1, -1)]).pin_memory()
            images = images.to(self._config.device, non_blocking=True)
        return images.permute(0, 3, 1, 2).to(self._config.dtype).sub_(PIXEL_OFFSET)

    def _bucket(self, size: int) -> int:
        return min(1 << (size - 1).bit_length(), self.max_batch_size)


def _scores(logits: Tensor, scoring: Scoring) -> Tensor:
    """Of float32 logits (n, classes), on their device; as `graphs.scores.scores_of`."""
    cooled = logits / scoring.temperature
    if scoring.activation == "none":
        return cooled
    if scoring.activation == "sigmoid":
        return cooled.sigmoid().masked_fill(cooled.isinf(), math.nan)
    return cooled.softmax(dim=1)
