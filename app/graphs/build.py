"""Owns a model's folder of graphs, from the loaded model to the last digest; does not know caches or packages."""

from pathlib import Path
from typing import Final

import torch

import app
from app.checkpoints.own import ModelPackage
from app.errors import ExportFailed
from app.graphs.export import export
from app.graphs.folder import write_manifest, write_probes
from app.graphs.library import openvino
from app.graphs.probes import probes
from app.network.fold import fold_normalisation

FLOAT: Final = "float32"


def versions() -> dict[str, str]:
    """Of all that made a graph."""
    return {"vit-serve": app.__version__, "openvino": openvino.__version__, "torch": torch.__version__}


def write_graphs(package: ModelPackage, made_of: str, directory: Path) -> None:
    """Fills a folder with the float32 graph of a model, whose network is folded in doing so.

    Raises ExportFailed where OpenVINO cannot run the network, and OSError.
    """
    if package.network.config.in_chans != 3:
        raise ExportFailed("only pictures of three channels are decoded")
    fold_normalisation(package.network, package.preprocess)
    directory.mkdir(parents=True, exist_ok=True)
    pictures = probes(package.preprocess)
    logits = export(package.network, pictures, directory / f"{FLOAT}.xml")
    write_probes(directory, pictures, {FLOAT: logits})
    write_manifest(directory, made_of, versions())
