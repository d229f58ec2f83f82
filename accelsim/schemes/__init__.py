"""Sparsity schemes: how a feature map lies in memory, one module each, found by file name."""

from __future__ import annotations

from functools import cache

from accelsim.configfile.families import added, members
from accelsim.errors import ConfigError, RefusalError, choices
from accelsim.schemes._chosen import PLUS, Scheme, for_maps, parts, read, with_needs

# A file of someone else's is a scheme as one of these is.
__path__ += added("schemes")

__all__ = ["PLUS", "Scheme", "load", "names", "parts", "replayable"]


def names() -> tuple[str, ...]:
    """Names of all schemes, sorted; none is imported for it."""
    return members("schemes")


def replayable() -> tuple[str, ...]:
    """Names of the schemes that a trace with masks serves, `dense` first."""
    return with_needs("masks")


@cache
def load(text: str) -> Scheme:
    """Find a scheme, with options: `part_marker`, `zero_block:height=8,width=8`; with a weight scheme: `channel_marker+eie`.

    Raises:  `ConfigError` for a name that has no module here, or an option that it does not have
    """
    name = parts(text)[0].partition(":")[0]
    if name not in names():
        hint = f"\n    {remedy}" if (remedy := for_maps(name)) else ""
        raise ConfigError(f"unknown scheme {name!r}{hint}\n    {choices(names(), name)}")
    try:
        return read(text)
    except RefusalError as fault:
        raise ConfigError(*("\n    ".join([f"scheme {text!r}: {each.fault}", *each.remedy]) for each in (fault, *fault.also))) from None
