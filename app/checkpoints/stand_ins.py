"""Owns the classes by name whose objects may lie beside weights in a pickle; does not read files.

Not one of them is imported or made. What a file calls by such a name is one of three stand-ins, which take whatever
they are given and run nothing, so that no constructor and no `__setstate__` of a foreign class is ever reached, and a
file can be read whose classes are not installed.
"""

from collections import OrderedDict
from typing import Any, Final


class Inert:
    """Stands for an object: keeps nothing, runs nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        """Takes any arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Takes any arguments."""

    def __setstate__(self, _: Any) -> None:
        """Takes any state."""


class _InertDict:
    """Stands for a dictionary of some class: the unpickler fills only those that it knows."""

    def __new__(cls, *_: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


class _InertList:
    """Stands for a list of some class."""

    def __new__(cls, *_: Any) -> list[Any]:  # type: ignore[misc]
        return []


# A metric (`best_acc`) and random states. numpy's own `scalar` and `dtype` would take bytes for pointers to objects
# from a file that says so; the stand-in drops them.
_NUMPY: Final = (
    *(f"{core}.multiarray.{name}" for core in ("numpy.core", "numpy._core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.{name}" for name in ("dtype", "ndarray", "bool_", "bool", "str_", "float16", "float32", "float64")),
    *(f"numpy.{name}" for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")),
    *(f"numpy.dtypes.{name}DType" for name in ("Float16", "Float32", "Float64", "Int32", "Int64", "Bool", "Str")),
    *(f"numpy.random._pickle.__{name}_ctor" for name in ("randomstate", "generator", "bit_generator")),
    *(f"numpy.random.bit_generator.{name}" for name in ("SeedSequence", "__pyx_unpickle_SeedSequence")),
    "numpy.random._mt19937.MT19937",
    "numpy.random._pcg64.PCG64",
)
# A script's options, paths and times: of the standard library, values without behaviour.
_VALUES: Final = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"pathlib{m}.{name}" for m in ("", "._local") for name in ("Path", "PosixPath", "WindowsPath", "PurePath")),
    *(f"pathlib{m}.Pure{name}Path" for m in ("", "._local") for name in ("Posix", "Windows")),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    "uuid.UUID",
    "decimal.Decimal",
    "fractions.Fraction",
)
# Types that are named and not called, such as what a defaultdict makes its values with, and small builtins.
_BUILTINS: Final = tuple(
    f"builtins.{name}"
    for name in (
        "bool",
        "int",
        "float",
        "str",
        "bytes",
        "list",
        "tuple",
        "dict",
        "frozenset",
        "slice",
        "range",
        "object",
    )
)
# Configurations and records of training libraries; what they hold is no weights.
_RECORDS: Final = (
    "torch.torch_version.TorchVersion",
    "typing.Any",
    *(f"omegaconf.{name}" for name in ("base.ContainerMetadata", "base.Metadata", "base.Node", "nodes.AnyNode")),
    *(f"omegaconf.nodes.{name}Node" for name in ("String", "Integer", "Float", "Boolean", "Bytes", "Path")),
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "ml_collections.config_dict.config_dict.ConfigDict",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.config.config.Config",
)
_DICTIONARIES: Final = (
    "collections.defaultdict",
    "easydict.EasyDict",
    "addict.Dict",
    "addict.addict.Dict",
    "box.box.Box",
    "munch.Munch",
    "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "detectron2.config.config.CfgNode",
    "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
_LISTS: Final = ("collections.deque",)

STAND_INS: Final[tuple[tuple[type, str], ...]] = (
    *((Inert, name) for name in (*_NUMPY, *_VALUES, *_BUILTINS, *_RECORDS)),
    *((_InertDict, name) for name in _DICTIONARIES),
    *((_InertList, name) for name in _LISTS),
)
