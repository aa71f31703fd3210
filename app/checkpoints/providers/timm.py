"""Owns the networks that timm builds; does not read weights from files, which our own reader does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from app.checkpoints.folder import Files
from app.checkpoints.providers.seam import Provided, first_line
from app.checkpoints.providers.torchvision import make_importable
from app.errors import PackageError
from app.package.preprocessing import preprocess_from_timm


class Timm:
    """`timm.create_model` for a folder in timm's hub layout."""

    library: Final = "timm"

    def network_name(self, config: Mapping[str, Any]) -> str | None:
        """The architecture."""
        return str(config["architecture"]) if "architecture" in config else None

    def provide(self, folder: Path, files: Files) -> Provided:
        """As timm builds and loads it: its own changes to older weights, every tensor in its place.

        Raises PackageError.
        """
        make_importable()
        import timm

        tensors = {name: stored.read() for name, stored in files.tensors.items()}
        try:
            network = _built(folder, tensors)
            other = _not_as_in(tensors, network)
            if other and (name := _drawn(network, _built(folder, tensors), other)):
                raise PackageError(f"timm leaves {name!r} as it was drawn: there is no tensor for it that fits")
            network.pretrained_cfg.pop("state_dict", None)  # a second copy of all weights
            config = timm.data.resolve_model_data_config(network)
            spec = preprocess_from_timm(config)
        except PackageError:
            raise
        except Exception as error:  # whatever a configuration that is not timm's makes it trip over
            raise PackageError(f"timm cannot build it: {first_line(error)}") from error
        tag = network.pretrained_cfg.get("tag")
        architecture, _, named = str((files.config or {})["architecture"]).partition(".")
        return Provided(network, spec, architecture, tag or named or None)


def published(name: str) -> dict[str, str | None] | None:
    """The repository or else the address of the weights that timm has under a name; None: there are none."""
    make_importable()
    import timm
    from timm.models import get_pretrained_cfg

    if not timm.models.is_model_pretrained(name):
        return None
    config: Any = get_pretrained_cfg(name)
    return {"repository": None if config.hf_hub_filename else config.hf_hub_id, "url": config.url or config.hf_hub_id}


def _built(folder: Path, tensors: Mapping[str, Tensor]) -> Any:
    """Weights are given as they were read here, so that timm opens no file but config.json, and asks no hub."""
    import timm

    given = {"source": "", "file": "", "url": "", "hf_hub_id": "", "state_dict": dict(tensors)}
    return timm.create_model(f"local-dir:{folder}", pretrained=True, pretrained_cfg_overlay=given)


def _not_as_in(tensors: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """The network's tensors that the file has not under their names, or has otherwise."""
    return [
        name
        for name, loaded in network.state_dict().items()
        if name not in tensors or not tensors[name].to(loaded.dtype).equal(loaded)
    ]


def _drawn(network: nn.Module, again: nn.Module, names: list[str]) -> str | None:
    """A tensor that is another each time the network is built: no weights were loaded into it."""
    first, second = network.state_dict(), again.state_dict()
    return next((name for name in names if not first[name].equal(second[name])), None)
