"""Owns which part of a network keeps the weights it started with; does not train."""

from torch import nn

from app.network.efficientnet import EfficientNetLite
from app.network.vit import VisionTransformer
from app.package.variants import LITE_STAGES

_HEADS = ("head.", "head_dist.")
_EMBEDDINGS = ("patch_embed.", "cls_token", "dist_token", "reg_token", "pos_embed", "norm_pre.")


def freeze_backbone(network: VisionTransformer, stages: int) -> list[nn.Module]:
    """Takes the first stages of an EfficientNet out of training, with the layer before them.

    Returns the modules that must stay in evaluation mode: all of its normalisations, for the statistics that it comes
    with are of more images, and of sharper ones, than a fine-tuning sees.
    """
    backbone = network.patch_embed.backbone
    if not isinstance(backbone, EfficientNetLite):
        return []
    if stages:
        backbone.stem.requires_grad_(False)
        for block in list(backbone.blocks)[: sum(stage.depth for stage in LITE_STAGES[:stages])]:
            block.requires_grad_(False)
    return [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]


def freeze(network: VisionTransformer, what: str) -> list[nn.Module]:
    """Takes the part that a recipe's `freeze` names out of training: its parameters get no gradient.

    Returns the modules that must stay in evaluation mode: batch statistics are as fixed as the weights, and nothing
    is dropped before the first block that learns.
    """
    if not what:
        return []
    whole = what == "backbone"
    blocks = list(network.blocks)[: None if whole else int(what)]
    prefixes = (*_EMBEDDINGS, *(f"blocks.{i}." for i in range(len(blocks))))
    for name, parameter in network.named_parameters():
        if name.startswith(prefixes) or (whole and not name.startswith(_HEADS)):
            parameter.requires_grad_(False)
    return [network.patch_embed, network.pos_drop, network.patch_drop, *blocks]
