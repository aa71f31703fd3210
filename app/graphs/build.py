"""Owns a model's folder of graphs and a package that carries it, from the model's name; does not know caches."""

import shutil
from pathlib import Path
from typing import Final

import torch

from app.checkpoints.located import graph_key, locate
from app.checkpoints.own import NetworkPackage, save_package
from app.checkpoints.sources import load_model
from app.errors import PackageError
from app.graphs.export import export
from app.graphs.folder import GRAPHS_NAME, Graphs, Logits, read_graphs, write_manifest, write_probes
from app.graphs.library import openvino
from app.graphs.probes import probes
from app.network.fold import fold_normalisation
from app.package.description import PackageDescription, read_description
from app.package.preprocessing import check_pictures
from app.version import VERSION

FLOAT: Final = "float32"


def versions() -> dict[str, str]:
    """Of all that made a graph."""
    return {"vit-serve": VERSION, "openvino": openvino.__version__, "torch": torch.__version__}


def build_package(name: str, draft: Path) -> tuple[PackageDescription, str]:
    """A package that carries its float32 graph, of whatever `load_model` takes; returns what it is and its key.

    Of a package of ours all files are copied, and an int8 graph that it carries is kept.
    Raises ExportFailed, OSError and what `load_model` raises.
    """
    located = locate(name)
    package = load_model(located.name)
    carried = None
    if located.directory:
        if draft.resolve().is_relative_to(located.directory.resolve()):
            raise PackageError(f"{located.directory}: a package cannot be written into itself")
        shutil.copytree(located.directory, draft, copy_function=shutil.copyfile)  # not their modes: a hub's are links
        if (draft / GRAPHS_NAME).is_dir():
            carried = read_graphs(draft / GRAPHS_NAME, located.key)
    else:
        save_package(draft, package)
    description, shape = read_description(draft)
    key = graph_key(description, shape)
    write_graphs(package, key, draft / GRAPHS_NAME, carried)
    return description, key


def write_graphs(package: NetworkPackage, made_of: str, directory: Path, carried: Graphs | None = None) -> Logits:
    """Fills a folder with the float32 graph of a model, whose network is folded in doing so; `carried` is kept.

    Returns torch's logits of the probes.

    Raises ExportFailed where OpenVINO cannot run the network, and OSError.
    """
    check_pictures(package.preprocess)
    fold_normalisation(package.network, package.preprocess)
    directory.mkdir(parents=True, exist_ok=True)
    pictures = probes(package.preprocess)
    logits = {
        **(carried.logits if carried else {}),
        FLOAT: export(package.network, pictures, directory / f"{FLOAT}.xml"),
    }
    write_probes(directory, pictures, logits)
    write_manifest(directory, made_of, versions())
    return logits[FLOAT]


def leave_out_float(package: Path, made_of: str) -> None:
    """Takes the float32 graph out of a package that carries another one. Raises OSError."""
    directory = package / GRAPHS_NAME
    graphs = read_graphs(directory, made_of)
    for suffix in (".xml", ".bin"):
        (directory / f"{FLOAT}{suffix}").unlink()
    write_probes(directory, graphs.probes, {name: each for name, each in graphs.logits.items() if name != FLOAT})
    write_manifest(directory, made_of, versions())
