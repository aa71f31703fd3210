"""Owns which module keeps which contract; imports those that are asked for and no other. Does not know any of them."""

from collections.abc import Iterator
from importlib import import_module
from typing import Final

from fastapi import APIRouter

from app.settings import Settings

# A contract → the module whose `router` keeps it: an APIRouter, or a function that makes one of the settings.
MODULES: Final = {
    "oip": "app.api.protocols.oip",
    "kserve": "app.api.protocols.kserve",
    "huggingface": "app.api.protocols.huggingface",
    "torchserve": "app.api.protocols.torchserve",
    "sagemaker": "app.api.protocols.sagemaker",
    "vertex": "app.api.protocols.vertex",
}


def open_routers(settings: Settings) -> Iterator[APIRouter]:
    """The routers of the contracts that the settings name, each once."""
    for name in dict.fromkeys(settings.protocols):
        router = import_module(MODULES[name]).router
        yield router if isinstance(router, APIRouter) else router(settings)
