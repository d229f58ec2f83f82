"""YAML in and out: files whose every value remembers its file, line and column, and faults that name them."""

from accelsim.configfile.reader import MAX_BYTES, dump, load, root_key

__all__ = ["MAX_BYTES", "dump", "load", "root_key"]
