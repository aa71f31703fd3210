"""Owns the telling of files and folders that hold no weights in a form that is read; does not read weights."""

import json
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from app.errors import PackageError

START_BYTES: Final = 512
ADAPTER: Final = "adapter_config.json"  # of PEFT
_SAVE: Final = "load it with the library that wrote it and save the weights as safetensors or with torch.save"
_LFS: Final = (
    "a Git LFS pointer, which only names the file: run `git lfs install` and `git lfs pull` in the clone, "
    "or let it be fetched by hf-hub:OWNER/NAME"
)
_PAGE: Final = (
    "a web page (HTML), not weights: the address wanted a login or shows a page about the file; "
    "download the file itself"
)
_PACKED: Final = "a packed archive: unpack it and name what was in it"
_BEGINNINGS: Final = {
    rb"version https://git-lfs": _LFS,
    rb"/annex/objects/": "a git-annex pointer, which only names the file: run `git annex get` in the clone",
    rb"\s*(<!--.*?-->\s*)?(?i:<!doctype html|<html|<head)": _PAGE,
    rb"\s*<\?xml": f"XML, such as OpenVINO's, not the weights of a PyTorch network: {_SAVE}",
    rb"GGUF": f"a GGUF file (llama.cpp): {_SAVE}",
    rb"\x89HDF\r\n\x1a\n": f"an HDF5 file (Keras, TensorFlow): {_SAVE}",
    rb"\x93NUMPY": "a single numpy array; the weights of a network are an npz with many",
    rb"\x1f\x8b|\xfd7zXZ|BZh|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|.{257}ustar": _PACKED,
    rb".{4}TFL3": f"a TensorFlow Lite file: {_SAVE}",
    rb"\x08.{1,9}\x12.{0,40}(pytorch|tf2onnx|onnx|keras2onnx|skl2onnx)": f"an ONNX graph: {_SAVE}",
    rb"(?s:[\x81-\x8f]|\xde..|\xdf....)[\xa0-\xbf](params|embeddings|vit|classifier|deit)": f"flax's msgpack: {_SAVE}",
    rb"\s*[{\[]": "JSON text, such as an index or an error message, not weights; download the file itself",
    rb"$": "empty; download it again",
}
_SUFFIXES: Final = {
    ".gguf": "a GGUF file (llama.cpp)",
    ".onnx": "an ONNX graph",
    ".h5": "an HDF5 file (Keras, TensorFlow)",
    ".keras": "a Keras archive",
    ".msgpack": "flax's msgpack",
    ".tflite": "a TensorFlow Lite file",
    ".pb": "a TensorFlow graph",
    ".distcp": "a distributed checkpoint, for torch.distributed.checkpoint.format_utils.dcp_to_torch_save",
}


def other_kind(path: Path, start: bytes) -> str | None:
    """What a file is that holds no weights as they are read here, and what to do; None: not known."""
    for pattern, text in _BEGINNINGS.items():
        if re.match(pattern, start, re.DOTALL):
            return f"this is {text}"
    if (name := _SUFFIXES.get(path.suffix.lower())) is not None:
        return f"this is {name}: {_SAVE}"
    return None


def check_archive(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Raises PackageError if a zip archive is none of torch.save's, and says what it is."""
    names = [member.filename for member in members]
    if any(re.fullmatch(r"([^/]+/)?constants\.pkl", name) for name in names):
        raise PackageError(
            f"{path}: a TorchScript archive, which holds a program beside its weights and is not run here. Where you "
            "trust it: torch.save(torch.jit.load(FILE).state_dict(), …)"
        )
    if any(
        re.fullmatch(r"([^/]+/)?(archive_format|models/.*\.json|serialized_exported_program\.json)", n) for n in names
    ):
        raise PackageError(f"{path}: a program of torch.export, not weights: save model.state_dict() with torch.save")
    if "model.weights.h5" in names:
        raise PackageError(f"{path}: a Keras archive: {_SAVE}")
    if not any(re.fullmatch(r"([^/]+/)?data\.pkl", name) for name in names):
        raise PackageError(f"{path}: a zip archive without weights of PyTorch or numpy: unpack it, name what was in it")


def no_weights(folder: Path, expected: Sequence[str]) -> str:
    """Why a folder has no weights that are read, from what lies in it."""
    if (folder / ADAPTER).is_file():
        return f"it holds {adapter_alone(folder / ADAPTER)}"
    kinds = {path.name: _SUFFIXES[path.suffix] for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES}
    if kinds:
        listed = ", ".join(f"{name!r} ({kind})" for name, kind in list(kinds.items())[:4])
        return f"there are no weights of PyTorch in it, only {listed}: {_SAVE}"
    return f"there are no weights in it, such as {', '.join(expected)} or a .npz"


def adapter_alone(config: Path) -> str:
    """What to do with an adapter of PEFT; its configuration names the network that it belongs to."""
    try:
        base = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, OSError, AttributeError, RecursionError):
        base = None
    of = f" of {base!r}" if isinstance(base, str) and base else ""
    return (
        f"a PEFT (LoRA) adapter{of} without its base network: merge them where they were trained, "
        "PeftModel.from_pretrained(base, FOLDER).merge_and_unload().save_pretrained(…), and name that folder"
    )
