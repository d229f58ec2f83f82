"""Weight schemes: how the weights of a layer lie in memory, one module each, found by file name."""

from __future__ import annotations

from functools import cache

from accelsim.configfile.families import members
from accelsim.errors import ConfigError, RefusalError
from accelsim.weights._chosen import WeightScheme, read

__all__ = ["WeightScheme", "load", "names", "read"]


def names() -> tuple[str, ...]:
    """Names of all weight schemes, sorted; none is imported for it."""
    return members("weights")


@cache
def load(text: str) -> WeightScheme:
    """Find a weight scheme, with options: `eie`, `eie:columns=all`.

    Raises:  `ConfigError` for a name that has no module here, or an option that it does not have
    """
    try:
        return read(text)
    except RefusalError as fault:
        raise ConfigError(*("\n    ".join([each.fault, *each.remedy]) for each in (fault, *fault.also))) from None
