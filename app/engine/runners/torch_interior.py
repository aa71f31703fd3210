"""Owns features, attention and its gradients by PyTorch: slots in, numbers out; does not choose what is asked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from app.engine.client import OutOfDeviceMemory, Runner, Scores
from app.engine.interior import Look, Looks, Sight
from app.engine.nice import go_last
from app.errors import NotSupported
from app.graphs.folder import Pixels
from app.network.fold import PIXEL_OFFSET
from app.network.library import Network
from app.network.vit import VisionTransformer

_EMBEDDINGS: Final = 4  # in a batch at most


@dataclass(frozen=True, slots=True)
class TorchInterior:
    """Watches the network that is served while it computes: what its head is given, and its attention in the open."""

    network: Network
    device: torch.device
    dtype: torch.dtype
    classes: int

    def width(self) -> int:
        """Numbers in an embedding. Raises NotSupported."""
        return int(self._heads()[0].shape[1])

    def sight(self) -> Sight:
        """What can be seen of the attention. Raises NotSupported."""
        if not isinstance(self.network, VisionTransformer):
            raise NotSupported("the attention of another library's network is not known in torch; OpenVINO finds it")
        config = self.network.config
        layers = config.depth + (config.global_pool == "map")
        return Sight(config.grid_size, layers, config.num_heads, ("rollout", "attention", "gradient"))

    def embedders(self, pixels: Pixels) -> list[Runner]:
        """One."""
        return [_Embedder(self, pixels, self._heads())]

    def explainers(self, pixels: Pixels, looks: Looks) -> list[Runner]:
        """One."""
        self.sight()
        assert isinstance(self.network, VisionTransformer)  # or there is nothing to be seen
        return [_Explainer(self, self.network, pixels, looks)]

    def _heads(self) -> list[Tensor]:
        """The weights that make logits of features; of a distilled network's two heads both."""
        network = self.network
        if isinstance(network, VisionTransformer):
            return [head.weight for head in (network.head, network.head_dist) if head is not None]
        for module in reversed(list(network.modules())):
            if isinstance(module, nn.Linear) and module.out_features == self.classes:
                return [module.weight]
        raise NotSupported("no feature in front of a linear head was found in this network")

    def images(self, pixels: Tensor, slots: Sequence[int]) -> Tensor:
        """Slots → (images, 3, height, width) minus PIXEL_OFFSET, on the device."""
        chosen = pixels[list(slots)].to(self.device)
        return chosen.permute(0, 3, 1, 2).to(self.dtype).sub_(PIXEL_OFFSET)


class _Watch(TorchFunctionMode):
    """Sees, in the calling thread alone, what is multiplied with `heads`, and each layer's attention.

    Attention is then computed in the open: the fused kernel never has the weights in one place.
    """

    def __init__(self, heads: Sequence[Tensor] = (), attention: bool = False) -> None:
        super().__init__()
        self._heads, self._attention = heads, attention
        self.features, self.weights = list[Tensor](), list[Tensor]()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and any(args[1] is head for head in self._heads):
            self.features.append(args[0])
        call = self._attend if self._attention and func is F.scaled_dot_product_attention else func
        return call(*args, **(kwargs or {}))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, **_: object) -> Tensor:
        logits = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        weights = (logits if attn_mask is None else logits + attn_mask).softmax(dim=-1)
        self.weights.append(weights)
        out: Tensor = weights @ v
        return out


class _Lane(ABC):
    def __init__(self, interior: TorchInterior, pixels: Pixels, max_batch_size: int) -> None:
        self._interior, self._pixels, self.max_batch_size = interior, torch.from_numpy(pixels), max_batch_size

    def warm_up(self) -> None:
        """Only takes the last place: the network is warm."""
        go_last()
        torch.set_num_threads(1)  # of this thread's team: others would not have its priority

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        """Numbers of each slot. Raises OutOfDeviceMemory."""
        try:
            return [Scores(each.float().cpu().numpy(), []) for each in self._said(slots)]
        except torch.OutOfMemoryError as error:
            raise OutOfDeviceMemory(str(error)) from error

    @abstractmethod
    def _said(self, slots: Sequence[int]) -> Sequence[Tensor]:
        """Of each slot, in order."""


class _Embedder(_Lane):
    def __init__(self, interior: TorchInterior, pixels: Pixels, heads: Sequence[Tensor]) -> None:
        super().__init__(interior, pixels, _EMBEDDINGS)
        self._heads = heads

    @torch.inference_mode()
    def _said(self, slots: Sequence[int]) -> Sequence[Tensor]:
        with _Watch(self._heads) as watch:
            self._interior.network(self._interior.images(self._pixels, slots))
        features = torch.stack(watch.features).float().mean(dim=0)
        mean = features.reshape(-1, len(slots), self._heads[0].shape[1]).mean(dim=0)  # over a mirror image too
        return list(mean)


class _Explainer(_Lane):
    """One image at a time: each has its attention, and for gradients all else, in memory."""

    def __init__(self, interior: TorchInterior, network: VisionTransformer, pixels: Pixels, looks: Looks) -> None:
        super().__init__(interior, pixels, 1)
        self._network, self._looks = network, looks

    def _said(self, slots: Sequence[int]) -> Sequence[Tensor]:
        look = self._looks[slots[0]]
        assert look is not None  # whoever submits says what it wants
        gradient = look.method == "gradient"
        with torch.set_grad_enabled(gradient), _Watch(attention=True) as watch:
            images = self._interior.images(self._pixels, slots).requires_grad_(gradient)
            logits = self._network(images)[0].float()
            if gradient:
                best = logits[logits.argmax() if look.index is None else look.index]
                slopes = torch.autograd.grad(best, watch.weights)
                weights = [(w * s).clamp_min(0).float() for w, s in zip(watch.weights, slopes, strict=True)]
            else:
                weights = [each.float() for each in watch.weights]
        with torch.inference_mode():
            seen = self._map(look, weights)
        return [torch.cat([logits.detach(), seen.flatten()])]

    def _map(self, look: Look, weights: Sequence[Tensor]) -> Tensor:
        """(patches,), or of attention (H, patches)."""
        rows, columns = self._network.config.grid_size
        read = self._read(weights)
        if look.method == "attention":
            seen = torch.einsum("bm,bhmn->bhn", read[look.layer], weights[look.layer])
        else:
            seen = self._rolled(read[-1], weights, residual=0.5 if look.method == "rollout" else 1.0)
        maps = seen[..., -rows * columns :]
        if len(maps) > 1:  # of the mirror image, too
            one, other = maps.reshape(*maps.shape[:-1], rows, columns)
            both: Tensor = (one + other.flip(-1)) / 2
            return both.flatten(-2)
        return maps[0]

    def _read(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """How much of each layer's queries the head reads, (B, M)."""
        config = self._network.config
        last = weights[-1].new_zeros(len(weights[-1]), weights[-1].shape[2])
        if config.global_pool in ("token", "token_avg", "map"):
            last[:, 0] = 1
        else:
            last[:, 0 if config.pool_include_prefix else config.num_prefix_tokens :] = 1
        tokens = config.num_tokens
        whole = F.pad(last, (0, tokens - last.shape[1]))
        if config.global_pool == "map":
            patches = config.grid_size[0] * config.grid_size[1]
            whole = F.pad(last.new_ones(len(last), patches), (tokens - patches, 0))
        last, whole = (each / each.sum(dim=1, keepdim=True) for each in (last, whole))
        return [whole] * (len(weights) - 1) + [last]

    def _rolled(self, row: Tensor, weights: Sequence[Tensor], residual: float) -> Tensor:
        """(B, N): what the head reads, layer by layer from the last: each its mean over heads and the identity.

        With a residual of a half attention rollout (Abnar & Zuidema, arXiv 2005.00928); with one, and gradients in
        the weights, that of Chefer et al. (arXiv 2103.15679).
        """
        tokens = self._network.config.num_tokens
        pooled = self._network.config.global_pool == "map"
        share = 1.0 if residual == 1.0 else 1 - residual
        for number, each in reversed(list(enumerate(weights))):
            attended = torch.einsum("bm,bmn->bn", row, each.mean(dim=1))
            if pooled and number == len(weights) - 1:
                row = F.pad(attended, (tokens - attended.shape[1], 0))
            else:
                row = share * attended + residual * F.pad(row, (0, tokens - row.shape[1]))
        return row
