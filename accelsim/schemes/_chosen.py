"""A scheme with its options, as replays use it, and how both are written in one text: `zero_block:height=8,width=8`.

A weight scheme goes with it after a plus: `channel_marker+eie`; without one, weights lie dense.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any, cast

from numpy.typing import NDArray

from accelsim import weights
from accelsim.configfile import families
from accelsim.configfile.families import members
from accelsim.errors import ConfigError, RefusalError, TraceError, choices, quoted
from accelsim.graph import Node
from accelsim.hardware import Accelerator
from accelsim.schemes.base import EncodedMap, Member, Needs, Options, Saves
from accelsim.trace import FeatureMap, Trace
from accelsim.weights import WeightScheme

PLUS = "+"
"""Between an activation scheme and a weight scheme."""
DENSE_WEIGHTS = weights.load("dense")
_RANKS: tuple[Needs, ...] = ("counts", "masks", "values")


@dataclass(frozen=True)
class Scheme:
    """A member with options, and what is done about zeros of weights."""

    name: str
    options: Options
    weights: WeightScheme = DENSE_WEIGHTS

    @property
    def label(self) -> str:
        """What reports call it and `load` reads: the name, the options that differ from their defaults, and a weight scheme but dense."""
        of_weights = self.weights.label
        return families.label(self.name, self.options) + (f"{PLUS}{of_weights}" if of_weights != "dense" else "")

    @property
    def saves(self) -> Saves:
        """What it saves."""
        return member(self.name).SAVES

    @property
    def needs(self) -> Needs:
        """What of the data it must know: counts of zero channels, which elements are zero, or their values."""
        return member(self.name).NEEDS

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions that every report must repeat."""
        told = []
        if self.saves.needs_training:
            told.append("the positions that the trace shows to be zero count as known before the run, as if trained: an upper bound")
        if self.lossy:
            told.append("lossy; unless the trace was made through it, later maps do not feel what is lost (open loop)")
        return tuple(f"{self.name}: {note}" for note in told)

    @property
    def lossy(self) -> bool:
        """Whether a map that was stored may come back with other values."""
        return self.options.lossy

    def seen(self, node: Node, values: NDArray[Any]) -> NDArray[Any]:
        """What consumers read of a map that was stored: itself, but for a lossy scheme. Shapes: [C, H, W], both ways."""
        seen = getattr(member(self.name), "seen", None)
        return values if seen is None else cast(NDArray[Any], seen(node, values, self.options))

    def encode(self, trace: Trace, index: int, machine: Accelerator) -> EncodedMap:
        """How the map of node `index` lies in memory. Raises `TraceError` where the trace lacks what the scheme needs."""
        return self.encode_map(self.stored(trace, index), machine)

    def stored(self, trace: Trace, index: int) -> FeatureMap:
        """The map of node `index` as it is stored. Raises `TraceError` where the trace lacks what the scheme needs."""
        fmap = trace.maps[index]
        if self.needs == "values" and fmap.values is None:
            raise TraceError(
                f"scheme {self.name!r} needs the values of feature maps; a trace holds only which elements are zero\n"
                f"    give the network and an image ('accelsim compare NETWORK --image PHOTOGRAPH'), or replay under "
                f"{_list(with_needs('masks'))}"
            )
        if self.needs == "masks" and fmap.mask is None:
            raise TraceError(
                f"scheme {self.name!r} needs to know which elements are zero; the trace of {trace.graph.name} on {trace.image} "
                f"({trace.source}) holds only counts of zero channels\n"
                f"    make a trace with 'accelsim infer', or replay this one under {_list(with_needs('counts'))}"
            )
        prepare = getattr(member(self.name), "prepare", None)
        return fmap if prepare is None else cast(FeatureMap, prepare(trace, index, self.options))

    def encode_map(self, fmap: FeatureMap, machine: Accelerator) -> EncodedMap:
        """How a map lies in memory. Raises `TraceError` where it has no mask and the scheme needs one."""
        return member(self.name).encode(fmap, machine, self.options)


@cache
def member(name: str) -> Member:
    """The module of a scheme. Raises `ConfigError` for a file in an added folder that is none."""
    try:
        module = import_module(f"accelsim.schemes.{name}")
    except Exception as fault:
        if name not in members("schemes") or not families.added("schemes"):
            raise
        raise ConfigError(f"scheme {name!r} cannot be imported: {type(fault).__name__}: {' '.join(str(fault).split())}") from fault
    missing = [part for part in ("Options", "NEEDS", "SAVES", "encode") if not hasattr(module, part)]
    if missing:
        raise ConfigError(f"{module.__file__}: a scheme has Options, NEEDS, SAVES and encode\n    missing here: {', '.join(missing)}")
    return cast(Member, module)


@cache
def with_needs(needs: Needs) -> tuple[str, ...]:
    """Names of the schemes that need so much of the data, or less."""
    names = members("schemes")
    return tuple(sorted((name for name in names if _RANKS.index(member(name).NEEDS) <= _RANKS.index(needs)), key=lambda n: n != "dense"))


def read(text: str) -> Scheme:
    """A scheme from its text. Raises `RefusalError` for one that has no module here, and for options that it does not have."""
    own, plus, of_weights = text.partition(PLUS)
    name, known = own.partition(":")[0], members("schemes")
    if name not in known:
        hint = for_maps(name)
        raise RefusalError(f"{quoted(name)} is not a known scheme", *([hint] if hint else []), choices(known, name))
    chosen = Scheme(name, families.options_of(own, member(name).Options))
    return replace(chosen, weights=weights.read(of_weights)) if plus else chosen


def for_maps(name: str) -> str:
    """What to write where a weight scheme stands in place of a scheme; nothing for other names."""
    return f"it is a weight scheme: write for example channel_marker{PLUS}{name}" if name in weights.names() else ""


def parts(text: str) -> tuple[str, ...]:
    """An activation scheme, and the weight scheme if there is one, each with its options: (`zero_block:height=8`, `eie`)."""
    return tuple(text.split(PLUS, 1))


def _list(names: tuple[str, ...]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
