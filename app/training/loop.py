"""Owns the training loop and its checkpoints; does not print, read images or write packages."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain import PreprocessSpec
from app.model.variants import variant
from app.model.vit import VisionTransformer
from app.training.augment import augment
from app.training.dataset import Dataset
from app.training.recipe import Recipe


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


class Trainer:
    """One run, resumable after every epoch.

    The weights live in float32; where `precision` is bfloat16 a copy in it does forward and backward,
    which is half again as fast as autocast on a CPU with AVX512-BF16 and needs no loss scaling.
    """

    def __init__(
        self, recipe: Recipe, spec: PreprocessSpec, classes: int, device: torch.device, precision: torch.dtype
    ) -> None:
        torch.manual_seed(recipe.seed)
        config = replace(variant(recipe.variant), num_classes=classes, drop_path_rate=recipe.drop_path_rate)
        self.recipe, self.device, self.precision = recipe, device, precision
        self.master = VisionTransformer(config)
        self.master.init_weights()
        self.master.to(device)
        self.worker = VisionTransformer(config).to(device, precision)
        self.average = VisionTransformer(config).to(device).requires_grad_(False)
        self.average.load_state_dict(self.master.state_dict())
        self.mean = torch.tensor(spec.mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(spec.std, device=device).view(1, 3, 1, 1)
        self.optimizers = _optimizers(self.master, recipe)
        self.epoch = 0
        self.step = 0

    def run(self, train: Dataset, validation: Dataset, checkpoint: Path) -> Iterator[StepReport | EpochReport]:
        """Trains to the last epoch, reporting as it goes; resumes from `checkpoint` if that exists."""
        if checkpoint.exists():
            self._load(checkpoint)
        images, targets = train.images.to(self.device), train.targets.to(self.device)
        while self.epoch < self.recipe.epochs:
            started, loss_sum, steps = monotonic(), 0.0, 0
            for index in self._batches(len(targets)):
                loss = self._train_step(images[index], targets[index], len(targets))
                loss_sum, steps = loss_sum + loss, steps + 1
                rate = steps * self.recipe.batch_size / (monotonic() - started)
                yield StepReport(self.step, self._total_steps(len(targets)), loss, rate)
            self.epoch += 1
            validation_loss, accuracy, _ = self.evaluate(validation)
            self._save(checkpoint)
            yield EpochReport(self.epoch, loss_sum / max(steps, 1), validation_loss, accuracy, rate)

    @torch.inference_mode()
    def evaluate(self, dataset: Dataset) -> tuple[float, float, Tensor]:
        """(cross-entropy, accuracy, logits (n, classes) on the CPU) of the averaged weights."""
        network = self.average.eval()
        parts = [
            network(self._normalise(part.to(self.device).float() / 255)).cpu() for part in dataset.images.split(256)
        ]
        logits = torch.cat(parts)
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
        logits = self.worker(self._normalise(x).to(self.precision)).float()
        loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        for ours, theirs in zip(self.worker.parameters(), self.master.parameters(), strict=True):
            assert ours.grad is not None
            theirs.grad, ours.grad = ours.grad.float(), None
        nn.utils.clip_grad_norm_(self.master.parameters(), recipe.grad_clip)
        factor = _schedule(self.step, total, recipe.warmup_epochs * total / recipe.epochs)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * factor
            optimizer.step()
        self.step += 1
        self._update_average()
        return loss.item()

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))  # young averages forget faster
        torch._foreach_lerp_(list(self.average.parameters()), list(self.master.parameters()), 1 - decay)

    def _normalise(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def _batches(self, size: int) -> list[Tensor]:
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.recipe.seed + self.epoch))
        return list(order.to(self.device).split(self.recipe.batch_size))[: max(size // self.recipe.batch_size, 1)]

    def _total_steps(self, size: int) -> int:
        return self.recipe.epochs * max(size // self.recipe.batch_size, 1)

    def _save(self, path: Path) -> None:
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "master": self.master.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": torch.get_rng_state(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)  # atomic: a run killed while saving still resumes from the epoch before

    def _load(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.epoch, self.step = state["epoch"], state["step"]
        self.master.load_state_dict(state["master"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["generator"])


def _optimizers(network: VisionTransformer, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for hidden matrices; AdamW for embeddings, norms, biases and the head."""
    matrices = [p for p in network.blocks.parameters() if p.ndim == 2]
    ids = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in ids]
    plain = [p for p in rest if p.ndim < 2]
    decayed = [p for p in rest if p.ndim >= 2]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(
            [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
        ),
    ]


def _schedule(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine down to zero."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
