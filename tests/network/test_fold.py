import copy

import torch

from app.domain import PreprocessSpec
from app.network.fold import PIXEL_OFFSET, fold_normalisation
from app.network.vit import VisionTransformer
from app.package.variants import variant

SPEC = PreprocessSpec(32, 32, mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.2435, 0.2616))


def test_pixels_give_the_logits_of_normalised_input() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(variant("vit_pico_patch4_32")).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    folded = copy.deepcopy(network)
    fold_normalisation(folded, SPEC)
    pixels = torch.randint(0, 256, (3, 3, 32, 32)).double()
    mean, std = torch.tensor(SPEC.mean).view(1, 3, 1, 1).double(), torch.tensor(SPEC.std).view(1, 3, 1, 1).double()
    with torch.inference_mode():
        expected = network((pixels / 255 - mean) / std)
        torch.testing.assert_close(folded(pixels - PIXEL_OFFSET), expected, atol=1e-6, rtol=0)


def test_in_bfloat16_no_worse_than_normalised_input() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(variant("vit_pico_patch4_32")).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    folded = copy.deepcopy(network)
    fold_normalisation(folded, SPEC)
    pixels = torch.randint(0, 256, (64, 3, 32, 32)).float()
    mean, std = torch.tensor(SPEC.mean).view(1, 3, 1, 1), torch.tensor(SPEC.std).view(1, 3, 1, 1)
    x = (pixels / 255 - mean) / std
    with torch.inference_mode():
        exact = network(x)
        plain = (network.bfloat16()(x.bfloat16()).float() - exact).square().mean()
        ours = (folded.bfloat16()((pixels - PIXEL_OFFSET).bfloat16()).float() - exact).square().mean()
    assert ours < 1.2 * plain
