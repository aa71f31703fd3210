"""Owns the pictures of a shard, one after the other; does not read archives or tables itself, or classify."""

from collections.abc import Iterator
from functools import partial

from app.bulk.images import Image, text, unreadable
from app.bulk.tables import table_images
from app.bulk.tars import tar_images
from app.distributed.places import place
from app.distributed.plan import Shard


def images_of(shard: Shard, image_column: str) -> Iterator[Image]:
    """The pictures of a shard in an order that is always the same; raises nothing about what is in the files.

    What ends early has one more element, for what is lost, that raises when it is read.
    """
    if shard.kind == "files":
        for url in shard.urls:
            yield Image(text(url), text(url), partial(_read, url))
        return
    url = shard.urls[0]

    def opened():  # type: ignore[no-untyped-def]  # fsspec has no types
        there = place(url)
        return there.fs.open(there.path, "rb")

    if shard.kind == "tar":
        yield from tar_images(opened, text(url))
    else:
        yield from table_images(opened, text(url), image_column, shard.row_groups)


def _read(url: str) -> bytes:
    with unreadable("the file cannot be read"):
        return place(url).read()
