"""Traces of many images of one network in one folder, with an index that answers without opening them.

* `store.json`       format; what decides the traces (network and its hashes, epsilon, mode, preprocessing, ...); images, block by block.
* `shards/N.parquet` traces of block N, a row group each (`shards.py`); written by one process, whole or not at all.
* `index.parquet`    a row an image without its masks: hashes, zero channels and zero elements by layer, which channels are zero, where the
                     trace is; or the error of an image that gave none.
* `lock`             empty; the process that writes holds it.
A block is never written again, and nothing in these files depends on when, where or by how many processes they were made: a store that was
interrupted and gone on with is, byte for byte, the one that was not.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.tracestore.reader import TraceStore
    from accelsim.tracestore.writer import discard, writing

__all__ = ["TraceStore", "discard", "is_store", "writing"]

HEAD = "store.json"
_HOMES = {"TraceStore": "reader", "discard": "writer", "writing": "writer"}


def is_store(path: Path) -> bool:
    """Whether a folder says that it is a store of traces."""
    return (path / HEAD).is_file()


def __getattr__(name: str) -> object:
    """Import the public names when they are first used: whoever asks for `is_store` alone waits for no library of tables."""
    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim.tracestore' has no attribute {name!r}")
    return getattr(import_module(f"accelsim.tracestore.{_HOMES[name]}"), name)
