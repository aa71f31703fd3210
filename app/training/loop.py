"""Owns the training loop and its checkpoints; does not print, read images or write packages."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from time import monotonic
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from app.errors import SetupError
from app.network.vit import VisionTransformer
from app.package.whole import written_whole
from app.training.augment import augment
from app.training.best import BestEpoch
from app.training.dataset import Dataset
from app.training.depthwise import speed_up_depthwise
from app.training.freeze import freeze, freeze_backbone
from app.training.optimizers import Optimizers, schedule
from app.training.recipe import Recipe
from app.training.start import Start
from app.training.whiten import fix_entry, whiten

# What torch.load and load_state_dict raise on a file that is damaged, no checkpoint, or one of another network.
_LOAD_ERRORS: Final = (
    OSError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    EOFError,
    UnpicklingError,
)
_WHITENING_IMAGES: Final = 1000
_GPU_ATTENTION: Final = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


@dataclass(frozen=True, slots=True)
class StepReport:
    """Where a run is, after one step."""

    step: int
    total_steps: int
    loss: float
    images_per_s: float


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One row of the log: losses and accuracies 0 … 1, validation with the averaged weights."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    images_per_s: float
    learning_rate: float  # of the last step


class Trainer:
    """One run, resumable after every epoch.

    The weights live in float32; where `precision` is bfloat16 a copy in it does forward and backward,
    which is half again as fast as autocast on a CPU with AVX512-BF16 and needs no loss scaling.
    """

    def __init__(
        self, recipe: Recipe, start: Start, classes: int, device: torch.device, precision: torch.dtype
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.precision = recipe, device, precision
        self.master = start.network(classes).to(device)
        config, spec = self.master.config, start.spec
        self.worker = _in_precision(VisionTransformer(config).to(device), precision)
        for ours, theirs in zip(self.worker.modules(), self.master.modules(), strict=True):
            ours._buffers.update(theirs._buffers)  # the batch statistics are shared, and saved with the master
        self.average = VisionTransformer(config).to(device).requires_grad_(False)
        self.average.load_state_dict(self.master.state_dict())
        freeze(self.master, recipe.freeze)
        self.frozen = freeze(self.worker, recipe.freeze)
        self.fresh = start.weights is None
        if not self.fresh:
            freeze_backbone(self.master, recipe.freeze_stages)
            self.frozen += freeze_backbone(self.worker, recipe.freeze_stages)
        if device.type == "cpu" and precision == torch.bfloat16:
            speed_up_depthwise(self.worker)
        fix_entry(self.master)
        fix_entry(self.worker)
        self.start_sha256, self.start_is_backbone = start.sha256, start.is_backbone
        self.best = BestEpoch(recipe.patience)
        self.mean = torch.tensor(spec.mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(spec.std, device=device).view(1, -1, 1, 1)
        # The CPU's flash kernel is slow backwards: four times slower than plain products for a dozen tokens.
        self.attention = [SDPBackend.MATH] if device.type == "cpu" else list(_GPU_ATTENTION)
        self.optimizers = Optimizers(self.master, recipe)
        self.epoch = 0
        self.step = 0

    def run(self, train: Dataset, validation: Dataset, checkpoint: Path) -> Iterator[StepReport | EpochReport]:
        """Trains to the last epoch, reporting as it goes; resumes from `checkpoint` if that exists.

        With patience it may end before, and the averaged weights are those of the best epoch in the end.
        Raises SetupError if the checkpoint is unreadable, or of another network, start or other images, and
        FloatingPointError as soon as a loss or gradient is no number; the checkpoint is then the last good one.
        """
        fingerprint = train.fingerprint()
        if checkpoint.exists():
            self._load(checkpoint, fingerprint)
        images, targets = train.images.to(self.device), train.targets.to(self.device)
        if self.fresh and not self.step:
            sample = images[:: -(-len(images) // _WHITENING_IMAGES)]
            whiten(self.master, self._normalise(sample.float() / 255))
            self.average.load_state_dict(self.master.state_dict())
        while self.epoch < self.recipe.epochs and not self.best.is_over(self.epoch):
            started_at, loss_sum, steps, seen, rate = monotonic(), 0.0, 0, 0, 0.0
            for index in self._batches(len(targets)):
                loss = self._train_step(images[index], targets[index], len(targets))
                loss_sum, steps, seen = loss_sum + loss, steps + 1, seen + len(index)
                rate = seen / max(monotonic() - started_at, 1e-9)
                yield StepReport(self.step, self._total_steps(len(targets)), loss, rate)
            self.epoch += 1
            validation_loss, accuracy, _ = self.evaluate(validation)
            if not math.isfinite(validation_loss):
                raise FloatingPointError(f"step {self.step}: the validation loss is {validation_loss}")
            self.best.note(self.epoch, validation_loss, self.average)
            self._save(checkpoint, fingerprint)
            average_loss, learning_rate = loss_sum / steps, self.optimizers.learning_rate
            yield EpochReport(self.epoch, average_loss, validation_loss, accuracy, rate, learning_rate)
        self.best.restore(self.average)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """What the averaged weights say of images, uint8 (n, 3, height, width): (n, classes), on the CPU."""
        network = self.average.eval()
        parts = [
            network(self._normalise(part.to(self.device).float() / 255)).cpu() for part in torch.split(images, 256)
        ]
        return torch.cat(parts)

    def evaluate(self, dataset: Dataset) -> tuple[float, float, Tensor]:
        """(cross-entropy, accuracy, logits (n, classes) on the CPU) of the averaged weights."""
        logits = self.logits(dataset.images)
        accuracy = (logits.argmax(dim=1) == dataset.targets).float().mean().item()
        return F.cross_entropy(logits, dataset.targets).item(), accuracy, logits

    def _train_step(self, images: Tensor, targets: Tensor, train_size: int) -> float:
        recipe, total = self.recipe, self._total_steps(train_size)
        done = self.step / total
        self.worker.patch_drop.rate = recipe.patch_drop_rate if done < recipe.patch_drop_until else 0.0
        x = augment(images.float() / 255, recipe, only_flip=done >= recipe.augment_until)
        with torch.no_grad():
            for ours, theirs in zip(self.worker.parameters(), self.master.parameters(), strict=True):
                ours.copy_(theirs)
        self.worker.train()
        for module in self.frozen:
            module.eval()
        with sdpa_kernel(self.attention):
            outputs = self.worker(self._normalise(x).to(self.precision))
            loss = _loss(outputs, targets, recipe.label_smoothing)
            loss.backward()
        for ours, theirs in zip(self.worker.parameters(), self.master.parameters(), strict=True):
            if not theirs.requires_grad:
                continue
            assert ours.grad is not None
            theirs.grad, ours.grad = ours.grad.to(torch.float32, memory_format=torch.contiguous_format), None
        norm = nn.utils.clip_grad_norm_(self.master.parameters(), recipe.grad_clip)
        if not math.isfinite(value := loss.item()) or not torch.isfinite(norm):
            raise FloatingPointError(f"step {self.step}: the loss is {value}, the norm of its gradient {norm.item()}")
        warmup_epochs = min(recipe.warmup_epochs, recipe.epochs / 2)  # a short run must get to its descent too
        factor = schedule(self.step, total, warmup_epochs * total / recipe.epochs)
        self.optimizers.step(factor)
        self.step += 1
        self._update_average()
        return value

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))  # young averages forget faster
        torch._foreach_lerp_(list(self.average.parameters()), list(self.master.parameters()), 1 - decay)
        for ours, theirs in zip(self.average.buffers(), self.worker.buffers(), strict=True):
            ours.lerp_(theirs, 1 - decay) if ours.is_floating_point() else ours.copy_(theirs)

    def _normalise(self, images: Tensor) -> Tensor:
        """Of pixels 0 … 1; those of a recipe's `image_size` are first enlarged, by serving's kernel."""
        size = self.master.config.img_size
        if images.shape[2:] != size:
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp_(0, 1)
        return (images[:, : self.mean.shape[1]] - self.mean) / self.std  # grey images come as three equal colours

    def _batches(self, size: int) -> list[Tensor]:
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.recipe.seed + self.epoch))
        batches = torch.split(order.to(self.device), self.recipe.batch_size)
        return list(batches[: max(size // self.recipe.batch_size, 1)])  # what does not fill a batch waits its turn

    def _total_steps(self, size: int) -> int:
        return self.recipe.epochs * max(size // self.recipe.batch_size, 1)

    def _save(self, path: Path, fingerprint: str) -> None:
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "master": self.master.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "generator": torch.get_rng_state(),
            "data": fingerprint,
            "start": self.start_sha256,
            "best": self.best.state_dict(),
        }
        if self.device.type == "cuda":
            state["device_generator"] = torch.cuda.get_rng_state(self.device)
        try:
            with written_whole(path) as draft:  # a run killed while saving still resumes from the epoch before
                torch.save(state, draft)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(str(error)) from error

    def _load(self, path: Path, fingerprint: str) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state.get("data", fingerprint) != fingerprint:
                raise SetupError(f"{path}: was trained on other images or another split of them; choose another folder")
            if state.get("start", "") != self.start_sha256:
                raise SetupError(f"{path}: was trained from another start")
            self.master.load_state_dict(state["master"])
            self.average.load_state_dict(state["average"])
            self.optimizers.load_state_dict(state["optimizers"])
            torch.set_rng_state(state["generator"])
            if self.device.type == "cuda" and "device_generator" in state:
                torch.cuda.set_rng_state(state["device_generator"], self.device)
            if "best" in state:
                self.best.load_state_dict(state["best"])
            self.epoch, self.step = state["epoch"], state["step"]
        except _LOAD_ERRORS as error:
            raise SetupError(f"{path}: not a checkpoint of this run: {error}") from error


def _loss(outputs: Tensor | tuple[Tensor, Tensor], targets: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy, for a distilled network the mean over its two heads."""
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    losses = [F.cross_entropy(logits.float(), targets, label_smoothing=smoothing) for logits in heads]
    return torch.stack(losses).mean()


def _in_precision(network: VisionTransformer, precision: torch.dtype) -> VisionTransformer:
    """The network computing in `precision`; batch statistics stay in float32, which mixes with it at no cost."""
    network.to(precision)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        if isinstance(module, nn.BatchNorm2d):
            module.float()
    return network
