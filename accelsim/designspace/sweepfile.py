"""Sweep files: one machine, jobs and schemes as in a run file, and the keys that take several values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, PrivateAttr, Tag, create_model, model_validator

from accelsim import configfile
from accelsim.configfile.faults import PLACES
from accelsim.configfile.schema import FromPath
from accelsim.designspace.fronts import OBJECTIVES
from accelsim.errors import RefusalError, choices, quoted, refuse
from accelsim.hardware import Accelerator
from accelsim.runfile import EMBEDDED, Filed, InferenceJob, Location, Name, Section, TraceJob, repeats
from accelsim.schemes._written import Written
from accelsim.units import QUANTITIES, Quantity

MOST_VALUES = 10_000
"""More values than this on one axis are taken for a mistake."""
_UNIT = re.compile(r"\s*[-+.0-9eE]+\s*([^\s0-9].*?)\s*")
_COMPARISON = re.compile(r"\s*(\S+)\s*(==|!=|<=|>=|<|>)\s*(\S.*?)\s*")

# `from` is a Python keyword, so the field cannot be written in a class; what is made at run time mypy does not know
_From = create_model("_From", __base__=Section, **{"from": (Any, Field(description="The first value, with its unit."))})  # type: ignore[call-overload]


class Range(_From):  # type: ignore[valid-type,misc]
    """Values from one to another."""

    to: Any
    """The last value, included if a step meets it."""
    steps: Annotated[int, Field(ge=2, le=MOST_VALUES)] | None = None
    """How many values there are; powers of two need no number."""
    scale: Literal["linear", "log", "powers_of_two"] = "linear"
    """Equal distances, equal ratios, or doubled each time."""

    @model_validator(mode="after")
    def _sound(self) -> Range:
        first, last = (_bound(getattr(self, key), key) for key in ("from", "to"))
        faults = []
        if first[1] is not last[1]:
            faults.append(RefusalError("from and to are not of one kind", "write both with units of the same quantity", at=["to"]))
        elif last[0] < first[0]:
            faults.append(RefusalError(f"to {self.to} lies below from {getattr(self, 'from')}", "exchange the two", at=["to"]))
        if self.scale != "linear" and first[0] <= 0:
            faults.append(RefusalError(f"a {self.scale} scale begins above 0", at=["from"]))
        if self.scale == "powers_of_two" and self.steps is not None:
            faults.append(RefusalError("powers of two are counted by from and to", "remove steps", at=["steps"]))
        if self.scale != "powers_of_two" and self.steps is None:
            faults.append(RefusalError(f"how many values? A {self.scale} scale needs steps", "add for example steps: 5", at=["scale"]))
        refuse(faults)
        return self

    def values(self) -> tuple[Any, ...]:
        """All of them, each once; quantities as texts with units, in whole base units. Whole numbers stay whole."""
        (first, quantity), (last, _) = (_bound(getattr(self, key), key) for key in ("from", "to"))
        numbers: list[float] = [first]
        if self.scale == "powers_of_two":
            while numbers[-1] * 2 <= last:
                numbers.append(numbers[-1] * 2)
        else:
            shares = [step / ((self.steps or 2) - 1) for step in range(self.steps or 2)]
            log = self.scale == "log"
            numbers = [first * (last / first) ** share if log else first + (last - first) * share for share in shares]
        if isinstance(first, int) and isinstance(last, int):
            numbers = [round(number) for number in numbers]
        else:
            numbers = [float(f"{number:.12g}") for number in numbers]
        return tuple(dict.fromkeys(quantity.format(int(number)) if quantity else number for number in numbers))


def _form(value: Any) -> str:
    return "range" if isinstance(value, Range | Mapping) and not isinstance(value, list | tuple) else "list"


Axis = Annotated[
    Annotated[Range, Tag("range")] | Annotated[tuple[Any, ...], Field(min_length=1, max_length=MOST_VALUES), Tag("list")],
    Discriminator(_form),
]


class SweepTraceJob(TraceJob):
    """A trace that was recorded before."""

    schemes: Annotated[tuple[Written, ...], Field(min_length=1)] | None = None
    """Schemes for this job alone, such as those that a trace without masks can serve; those of the sweep if not given."""


class SweepInferenceJob(InferenceJob):
    """A network that runs on images; each image gives one trace."""

    schemes: Annotated[tuple[Written, ...], Field(min_length=1)] | None = None
    """Schemes for this job alone; those of the sweep if not given."""


def _kind_of_job(job: Any) -> str:
    return "trace" if isinstance(job, TraceJob) or (isinstance(job, Mapping) and "trace" in job) else "inference"


SweepJob = Annotated[Annotated[SweepInferenceJob, Tag("inference")] | Annotated[SweepTraceJob, Tag("trace")], Discriminator(_kind_of_job)]


class Search(Section):
    """Some combinations instead of all of them, chosen by what the ones before have shown."""

    objectives: Annotated[tuple[str, ...], Field(min_length=1)] = OBJECTIVES
    """Columns of the table that are weighed against each other, each as a mean over the jobs."""
    trials: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many combinations of values and scheme are tried; one that comes again costs nothing."""
    sampler: Literal["nsga2", "tpe", "random"] = "nsga2"
    """Who chooses: evolution by dominance (NSGA-II), densities of good and bad points (TPE), or chance."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """The same seed tries the same combinations, however many processes there are and however often it was interrupted."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    """Trials that are chosen before the results of any of them are known; also the population of nsga2."""

    @model_validator(mode="after")
    def _distinct_objectives(self) -> Search:
        refuse(repeats(self.objectives, "objectives"))
        return self


class Comparison(BaseModel):
    """One condition: the value of an axis held against a value, or against that of another axis."""

    left: str
    relation: str
    right: str


class Sweep(Filed):
    """What is simulated: every job under every scheme, on every machine that the axes span."""

    name: Name
    """What the results are filed under."""
    accelerator: Annotated[Accelerator, FromPath()]
    """Path of an accelerator file, or its content: the machine that the axes change."""
    schemes: Annotated[tuple[Written, ...], Field(min_length=1)] = ("dense", "channel_marker")
    """What is done about zeros, by name, with options as {zero_block: {height: 8, width: 8}}."""
    baseline: Written = "dense"
    """The scheme that ratios are counted from; replayed for every job, whether named above or not."""
    engine: Literal["fast", "reference"] = "fast"
    """The compiled engine, or the readable one that defines what it must give."""
    axes: Annotated[dict[str, Axis], Field(min_length=1)]
    """Key by dotted path (accelerator.buffer.size, scheme.zero_block.height, engine), with a list of its values or a range:
    {from: 32 KiB, to: 4 MiB, scale: powers_of_two}. The first axis is the one that curves are drawn against."""
    zip: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    """Groups of axes that go in step, first values together, then second ones; all others are combined with each other."""
    where: tuple[str, ...] = ()
    """Conditions that a point must meet, such as 'accelerator.pe_array.rows <= accelerator.pe_array.cols'."""
    search: Search | None = None
    """If given, combinations are searched for objectives rather than all simulated."""
    jobs: Annotated[tuple[SweepJob, ...], Field(min_length=1)]
    """What is replayed: networks on images, or recorded traces."""
    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes that work at the same time, one thread each; as many as there are cores if not given."""
    results: Annotated[Path, Location(file=False, here=True)] = Path("results")
    """Folder for the table, the store and the figures, from the current folder; results/<name> if not given."""

    _places: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Keep the places that `configfile` hands over."""
        if isinstance(context, Mapping):
            self._places = dict(context.get(PLACES, {}))

    @model_validator(mode="after")
    def _consistent(self) -> Sweep:
        faults = repeats(self.schemes, "schemes")
        for path in self.axes:
            root, _, rest = path.partition(".")
            if root not in ("accelerator", "scheme", "engine") or (root == "engine") == bool(rest):
                ways = "write accelerator.KEY..., scheme.NAME.OPTION, or engine"
                faults.append(RefusalError(f"{quoted(path)} is no path of a key", ways, at=["axes"]))
            elif root == "scheme" and path.count(".") != 2:
                faults.append(RefusalError(f"{quoted(path)} is no option of a scheme", "write scheme.NAME.OPTION", at=["axes"]))
        grouped: list[str] = []
        for number, group in enumerate(self.zip):
            known = [name for name in group if name in self.axes]
            for index, name in enumerate(group):
                if name not in self.axes:
                    faults.append(RefusalError(f"{quoted(name)} is no axis", choices(list(self.axes), name), at=[f"zip.{number}.{index}"]))
                elif name in grouped:
                    faults.append(RefusalError(f"{quoted(name)} goes in step twice", "name it once", at=[f"zip.{number}.{index}"]))
                grouped.append(name)
            lengths = {name: len(self.values(name)) for name in known}
            if len(set(lengths.values())) > 1:
                counts = ", ".join(f"{name} has {count}" for name, count in lengths.items())
                faults.append(RefusalError(f"axes that go in step need as many values: {counts}", at=[f"zip.{number}"]))
        for index, text in enumerate(self.where):
            try:
                self._comparison(text)
            except RefusalError as fault:
                faults.append(RefusalError(fault.fault, *fault.remedy, at=[f"where.{index}"]))
        own = [index for index, job in enumerate(self.jobs) if job.schemes is not None]
        if self.search is not None and own:
            fix = "remove it, or search each job in a file of its own"
            faults.append(RefusalError("a search tries each scheme on every job", fix, at=[f"jobs.{own[0]}.schemes"]))
        refuse(faults)
        return self

    def values(self, path: str) -> tuple[Any, ...]:
        """The values of an axis, as they are written."""
        axis = self.axes[path]
        return axis.values() if isinstance(axis, Range) else axis

    def conditions(self) -> tuple[Comparison, ...]:
        """The conditions, their left sides full paths of axes."""
        return tuple(self._comparison(text) for text in self.where)

    def axis_named(self, name: str) -> str | None:
        """The axis of that path, or the only one whose path ends so."""
        ending = [path for path in self.axes if path == name or path.endswith(f".{name}")]
        return name if name in self.axes else ending[0] if len(ending) == 1 else None

    def place(self, path: str, index: int) -> str:
        """Where the value of an axis was written, `buffer.yaml:12`, or its dotted path where that is unknown."""
        key = f"sweep.axes.{path}"
        return self._places.get(f"{key}.{index}", self._places.get(key, key))

    def _comparison(self, text: str) -> Comparison:
        match = _COMPARISON.fullmatch(text)
        if match is None:
            raise RefusalError(f"{quoted(text)} is no condition", "write for example 'accelerator.buffer.size >= 64 KiB'")
        axis = self.axis_named(match[1])
        if axis is None:
            raise RefusalError(f"{quoted(match[1])} is no axis", choices(list(self.axes), match[1]))
        return Comparison(left=axis, relation=match[2], right=match[3])


def load(path: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file with all files it names. `overrides`: `dotted.path=value`. Raises `ConfigError` with every fault."""
    return configfile.load(path, Sweep, "sweep", overrides, EMBEDDED)


def describe(resolved: Sweep) -> str:
    """A resolved sweep file as YAML, defaults and all, paths absolute; loading it gives the same again."""
    return configfile.dump({"sweep": resolved.model_dump(mode="json", exclude_none=True)})


def number(value: Any) -> tuple[int | float, Quantity | None] | None:
    """What a value of an axis measures: base units and their quantity, a bare number, or None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value, None
    unit = _UNIT.fullmatch(value) if isinstance(value, str) else None
    quantity = next((one for one in QUANTITIES if unit and (unit[1] in one.units or unit[1] in one.aliases)), None)
    if quantity is None:
        return None
    try:
        return quantity.parse(value), quantity
    except RefusalError:
        return None


def _bound(value: Any, key: str) -> tuple[int | float, Quantity | None]:
    found = number(value)
    if found is None:
        text = f"{quoted(value) if isinstance(value, str) else value} is neither a number nor a quantity"
        raise RefusalError(text, "write for example 64 KiB or 16", at=[key])
    return found
