"""Owns how many parameters a network of a given shape has; builds no network."""

from itertools import pairwise

from app.package.variants import LITE_STAGES, ViTConfig


def count_parameters(shape: ViTConfig) -> int:
    """What a network of this shape has, without building it; equal to the sum over its tensors."""
    width, patch, prefix = shape.embed_dim, shape.patch_size, shape.num_prefix_tokens
    hidden = int(width * shape.mlp_ratio)
    qkv = 3 * width * width + (3 * width if shape.qkv_bias else 0)
    block = 2 * 2 * width + qkv + width * width + width + 2 * width * hidden + hidden + width
    if shape.position == "relative":
        block += (2 * shape.num_tokens - 1) * (width // shape.num_heads)
    inputs, convolutions = shape.in_chans * patch * patch, 0
    if shape.backbone_layers is not None:
        channels, convolutions = _count_backbone(shape)
        inputs = channels * patch * patch
    elif shape.stem_widths:
        inputs, convolutions = shape.stem_widths[-1], _count_stem(shape)
    elif shape.lite_stages:
        channels, convolutions = _count_lite(shape)
        inputs = channels * patch * patch
    embedding = convolutions + inputs * width + width + prefix * width + _count_positions(shape)
    size = shape.representation_size
    pre_logits = width * size + size if size else 0
    heads = prefix * ((size or width) * shape.num_classes + shape.num_classes)
    return embedding + shape.depth * block + 2 * width + pre_logits + heads


def _count_positions(shape: ViTConfig) -> int:
    height, width = shape.grid_size
    if shape.position in ("none", "relative"):
        return 0
    on_axes = shape.position.startswith("2d")
    patches = (height + width) * (shape.embed_dim // 2) if on_axes else height * width * shape.embed_dim
    return shape.num_tables * (shape.num_prefix_rows * shape.embed_dim + patches)


def _count_backbone(shape: ViTConfig) -> tuple[int, int]:
    """Channels that leave a hybrid's convolutions, and the parameters in them."""
    channels, total = 64, shape.in_chans * 7 * 7 * 64 + 2 * 64
    for i, units in enumerate(shape.backbone_layers or ()):
        width = 64 * 2**i
        shortcut = channels * 4 * width + 2 * 4 * width
        norms, later = 2 * (width + width + 4 * width), 9 * width * width + 4 * width * width
        total += channels * width + shortcut + (units - 1) * 4 * width * width + units * (norms + later)
        channels = 4 * width
    return channels, total


def _count_stem(shape: ViTConfig) -> int:
    widths = [shape.in_chans, 32, *(width for width in shape.stem_widths for _ in range(2))]
    return sum(9 * before * after + 2 * after for before, after in pairwise(widths))


def _count_lite(shape: ViTConfig) -> tuple[int, int]:
    """Channels that leave an EfficientNet, and the parameters in it."""
    channels, total = 32, shape.in_chans * 9 * 32 + 2 * 32
    for stage in LITE_STAGES[: shape.lite_stages]:
        for _ in range(stage.depth):
            middle = channels * stage.expansion
            expand = (channels + 2) * middle if stage.expansion > 1 else 0
            total += expand + (stage.kernel**2 + 2) * middle + (middle + 2) * stage.width
            channels = stage.width
    return channels, total
