"""Owns a model run by torch, from its name to its runners; does not choose torch."""

from app.checkpoints.sources import load_servable
from app.engine.client import Runner
from app.engine.opened import Opened, Wish
from app.engine.runners.device import choose_device, to_precision
from app.engine.runners.torch import TorchRunner, TorchRunnerConfig
from app.engine.runners.torch_interior import TorchInterior
from app.graphs.folder import Pixels
from app.network.fold import fold_normalisation


def open_torch(name: str, wish: Wish) -> Opened:
    """Loads a model onto the device that was asked for. Raises what `load_servable` raises, and DeviceError."""
    device = choose_device(wish.device)
    package = load_servable(name)
    parameters = sum(p.numel() for p in package.network.parameters())  # as they are stored
    fold_normalisation(package.network, package.preprocess)
    network, dtype = to_precision(wish.precision, package.network, package.preprocess, device, package.scoring)
    on_gpu = device.type == "cuda"
    lanes = 1 if on_gpu else wish.lanes
    batch_size = wish.batch_size(on_gpu=on_gpu)
    config = TorchRunnerConfig(device, dtype, batch_size, wish.cores, lanes, package.scoring)
    description = package.description()
    del package  # with it the float32 weights, where another format is computed in

    def runners(pixels: Pixels) -> list[Runner]:
        return [TorchRunner(network, pixels, config) for _ in range(lanes)]

    computes_in = str(dtype).removeprefix("torch.")
    interior = TorchInterior(network, device, dtype, len(description.labels))
    return Opened(description, parameters, "torch", str(device), computes_in, batch_size, runners, interior=interior)
