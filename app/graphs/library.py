"""Owns the import of OpenVINO, without its telemetry; does not use it."""

import sys

# That module tells its makers of each import and conversion unless a file in the home directory forbids it. Where it
# cannot be imported OpenVINO takes a stand-in that does nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python marks what must not be found

import openvino  # noqa: E402

__all__ = ["openvino"]
