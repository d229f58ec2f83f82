"""A scheme with its options, as replays use it, and how both are written in one text: `zero_block:height=8,width=8`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from accelsim.errors import RefusalError, TraceError, choices, quoted
from accelsim.families import members
from accelsim.faults import explain
from accelsim.hardware import Accelerator
from accelsim.located import Place, Scalar, Source, Value, judge
from accelsim.schemes.base import EncodedMap, Member, Needs, Options, Saves
from accelsim.trace import FeatureMap, Trace

_RANKS: tuple[Needs, ...] = ("counts", "masks", "values")


@dataclass(frozen=True)
class Scheme:
    """A member with options."""

    name: str
    options: Options

    @property
    def label(self) -> str:
        """What reports call it and `load` reads: the name, and the options that differ from their defaults."""
        texts = []
        for option, field in type(self.options).model_fields.items():
            value = getattr(self.options, option)
            if value != field.default:
                texts.append(f"{option}={str(value).lower() if isinstance(value, bool) else value}")
        return f"{self.name}:{','.join(texts)}" if texts else self.name

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
        if not self.saves.needs_training:
            return ()
        return (f"{self.name}: the positions that the trace shows to be zero count as known before the run, as if trained: an upper bound",)

    def encode(self, trace: Trace, index: int, machine: Accelerator) -> EncodedMap:
        """How the map of node `index` lies in memory. Raises `TraceError` where the trace lacks what the scheme needs."""
        fmap = trace.maps[index]
        if self.needs == "values":
            raise TraceError(
                f"scheme {self.name!r} needs the values of feature maps; a trace holds only which elements are zero\n"
                f"    replay it under {_list(with_needs('masks'))}"
            )
        if self.needs == "masks" and fmap.mask is None:
            raise TraceError(
                f"scheme {self.name!r} needs to know which elements are zero; the trace of {trace.graph.name} on {trace.image} "
                f"({trace.source}) holds only counts of zero channels\n"
                f"    make a trace with 'accelsim infer', or replay this one under {_list(with_needs('counts'))}"
            )
        return self.encode_map(fmap, machine)

    def encode_map(self, fmap: FeatureMap, machine: Accelerator) -> EncodedMap:
        """How a map lies in memory. Raises `TraceError` where it has no mask and the scheme needs one."""
        return member(self.name).encode(fmap, machine, self.options)


@cache
def member(name: str) -> Member:
    """The module of a scheme."""
    return cast(Member, import_module(f"accelsim.schemes.{name}"))


@cache
def with_needs(needs: Needs) -> tuple[str, ...]:
    """Names of the schemes that need so much of the data, or less."""
    names = members("schemes")
    return tuple(sorted((name for name in names if _RANKS.index(member(name).NEEDS) <= _RANKS.index(needs)), key=lambda n: n != "dense"))


def read(text: str) -> Scheme:
    """A scheme from its text. Raises `RefusalError` for one that has no module here, and for options that it does not have."""
    name, colon, rest = text.partition(":")
    if name not in members("schemes"):
        raise RefusalError(f"{quoted(name)} is not a known scheme", choices(members("schemes"), name))
    model = member(name).Options
    written: dict[str, str] = {}
    for item in rest.split(",") if colon else ():
        option, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not option or option in written:
            fault = f"option {quoted(option)} stands twice" if option in written else f"{quoted(item)} is no option with a value"
            raise RefusalError(fault, f"write for example {_example(name, model)}")
        written[option] = value
    values: Mapping[str, Scalar] = {option: judge(value) for option, value in written.items()}
    try:
        return Scheme(name, model.model_validate(values))
    except ValidationError as error:
        place = Place(Source("", Path()))
        tree = Value({option: Value(value, place, written[option]) for option, value in values.items()}, place)
        faults = explain(error, model, tree, name)
        first, *more = [RefusalError(f"{fault.path}: {fault.text}", *fault.remedy) for fault in faults]
        raise RefusalError(first.fault, *first.remedy, also=more) from None


def _example(name: str, model: type[Options]) -> str:
    options = [f"{option}={field.default}" for option, field in model.model_fields.items() if field.default is not None]
    return f"{name}:{options[0].lower()}" if options else f"{name}, which has no options"


def _list(names: tuple[str, ...]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
