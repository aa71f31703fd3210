"""Owns how many parameters a network of a given shape has; builds no network."""

from itertools import pairwise

from app.package.variants import LITE_STAGES, ViTConfig


def count_parameters(shape: ViTConfig) -> int:
    """What a network of this shape has, without building it; equal to the sum over its tensors."""
    width, patch, prefix = shape.embed_dim, shape.patch_size, shape.num_prefix_tokens
    qkv = 3 * width * width + (3 * width if shape.qkv_bias else 0)
    norms = 2 * 2 * width + (4 * width // shape.num_heads if shape.qk_norm else 0)
    scales = 0 if shape.init_values is None else 2 * width
    block = norms + scales + qkv + width * width + (width if shape.proj_bias else 0) + _count_mlp(shape)
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
    first = inputs * width + (2 * width if shape.pre_norm else width)  # a bias, or the norm before the encoder
    embedding = convolutions + first + prefix * width + _count_positions(shape)
    size = shape.representation_size
    pre_logits = width * size + size if size else 0
    heads = (1 + shape.distilled) * ((size or shape.pooled_width) * shape.num_classes + shape.num_classes)
    last = (2 * width if shape.final_norm else 0) + (_count_attention_pool(shape) if shape.global_pool == "map" else 0)
    return embedding + shape.depth * block + last + pre_logits + heads


def _count_mlp(shape: ViTConfig) -> int:
    width, hidden = shape.embed_dim, shape.mlp_width
    inner = hidden // 2 if shape.mlp_layer == "swiglu_packed" else hidden
    first = 2 * hidden if shape.mlp_layer == "swiglu" else hidden
    return first * width + inner * width + (first + width if shape.proj_bias else 0)


def _count_attention_pool(shape: ViTConfig) -> int:
    """A query, the projections q, k, v and that of what is found, a norm and a plain MLP."""
    width, hidden = shape.embed_dim, shape.mlp_width
    return width + 4 * (width * width + width) + 2 * width + 2 * width * hidden + hidden + width


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
