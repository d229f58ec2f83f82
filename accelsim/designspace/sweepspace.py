"""The points that a sweep file spans: values of the axes in order, each with its machine and its jobs, every one validated."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from accelsim import schemes
from accelsim.designspace import assembled
from accelsim.designspace.axis import DATA, number
from accelsim.designspace.sweepfile import Sweep, SweepInferenceJob, SweepJob
from accelsim.engines import ENGINES
from accelsim.errors import ConfigError, choices
from accelsim.hardware import Accelerator

MOST_POINTS = 1_000_000
UNSCHEDULED = frozenset({"name", "clock", "link", "dram", "energy"})
"""Parts of a machine that no schedule depends on: they say how long its transfers take and what they cost."""
_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
)
Indices = Mapping[str, int]
"""One combination: the index of a value by axis."""
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Machine:
    """A machine with the hash of all that it is."""

    accelerator: Accelerator

    @cached_property
    def digest(self) -> str:
        """Sha256 of its resolved content, in hexadecimal."""
        return _sha256(self._content)

    @cached_property
    def scheduled(self) -> str:
        """Sha256 of what a schedule may depend on: machines that agree in it replay the same one."""
        return _sha256({key: value for key, value in self._content.items() if key not in UNSCHEDULED})

    @property
    def _content(self) -> dict[str, Any]:
        return self.accelerator.model_dump(mode="json")


@dataclass(frozen=True, eq=False)
class Setting:
    """One combination of values, by axis, as tables show them; the machine and engine it gives, and options of schemes by name.

    `jobs`: those of the file with the combination's network, epsilon, mode and image; the same objects where those are the same.
    """

    values: Mapping[str, Any]
    machine: Machine
    engine: str
    options: Mapping[str, Mapping[str, Any]]
    jobs: tuple[SweepJob, ...]

    def scheme(self, written: str) -> str:
        """A scheme with the options that the axes give it, as its label; of a pair, each its own."""
        found = schemes.PLUS.join(map(self._with_options, schemes.parts(written)))
        return written if found == written else schemes.load(found).label

    def _with_options(self, written: str) -> str:
        name, _, own = written.partition(":")
        given = self.options.get(name)
        if not given:
            return written
        options = dict(option.split("=", 1) for option in own.split(",") if option) | {key: str(value) for key, value in given.items()}
        return f"{name}:" + ",".join(f"{key}={value}" for key, value in options.items())


class Space:
    """Every combination of the axes' values, each made when it is asked for.

    Raises:  `ConfigError` for values that name files which cannot be read, and for options of schemes that are not swept
    """

    def __init__(self, sweep: Sweep) -> None:
        faults: dict[str, None] = {}
        self.sweep = sweep
        self._values: dict[str, list[Any]] = {}
        for path in sweep.axes:
            try:
                self._values[path] = assembled.contents(path, sweep.values(path), sweep)
            except ConfigError as fault:
                faults |= dict.fromkeys(fault.faults)
        self._made: dict[tuple[str, ...], Any] = {}
        self._conditions = sweep.conditions()
        groups = [next((group for group in sweep.zip if path in group), (path,)) for path in sweep.axes]
        self.groups: tuple[tuple[str, ...], ...] = tuple(dict.fromkeys(groups))
        """Axes that go in step, in the order of the first of them."""
        self.lengths = tuple(len(sweep.values(group[0])) for group in self.groups)
        """Values of each group."""
        named = {part.partition(":")[0] for scheme in all_schemes(sweep) for part in schemes.parts(scheme)}
        for path in sweep.axes:
            root, _, rest = path.partition(".")
            if root == "scheme" and rest.partition(".")[0] not in named:
                faults[f"{sweep.place(path, 0)}: sweep.axes.{path}: no such scheme is swept\n    {choices(sorted(named))}"] = None
        if faults:
            raise ConfigError(*faults)
        self._shown = {path: _names(path, sweep.values(path), self._values[path]) for path in sweep.axes}

    @property
    def size(self) -> int:
        """Combinations, whatever the conditions say."""
        return math.prod(self.lengths)

    @property
    def data_size(self) -> int:
        """Combinations of what decides the data, whatever the conditions say."""
        decide = [any(path.partition(".")[0] in DATA for path in group) for group in self.groups]
        return math.prod(length for length, decides in zip(self.lengths, decide, strict=True) if decides)

    def shown(self, chosen: Sequence[int]) -> dict[str, Any]:
        """The values of a combination as tables show them, by axis; the engine has a column of its own."""
        indices = self._by_path(chosen)
        return {path: self._shown[path][indices[path]] for path in self.sweep.axes if path != "engine"}

    def combination(self, chosen: Sequence[int]) -> dict[str, int] | None:
        """The combination of one value of each group; None where a condition does not hold."""
        by_path = self._by_path(chosen)
        point = {path: self._shown[path][index] for path, index in by_path.items()} if self._conditions else {}
        for one in self._conditions:
            if not _holds(point[one.left], one.relation, point.get(self.sweep.axis_named(one.right) or "", one.right)):
                return None
        return {path: by_path[path] for path in self.sweep.axes}

    def setting(self, indices: Indices) -> Setting:
        """One combination with its machine and its jobs. Raises `ConfigError` with every fault of these, scheme options and engine."""
        sweep = self.sweep
        faults: dict[str, None] = {}
        machine = self._remembered(indices, ("accelerator",), self._machine, faults)
        jobs = self._remembered(indices, DATA, self._jobs, faults)
        engine = sweep.engine
        if "engine" in indices:
            engine = sweep.values("engine")[indices["engine"]]
            if engine not in ENGINES:
                where = f"{sweep.place('engine', indices['engine'])}: sweep.axes.engine"
                faults[f"{where}: {engine!r} is not an engine\n    {choices(ENGINES, str(engine))}"] = None
        if machine is None or jobs is None or faults:
            raise ConfigError(*faults)
        shown = {path: self._shown[path][index] for path, index in indices.items() if path != "engine"}
        setting = Setting(shown, machine, engine, _options(sweep, indices), jobs)
        for scheme in all_schemes(sweep):
            setting.scheme(scheme)
        return setting

    def _by_path(self, chosen: Sequence[int]) -> dict[str, int]:
        return {path: index for group, index in zip(self.groups, chosen, strict=True) for path in group}

    def _remembered(
        self, indices: Indices, roots: Sequence[str], make: Callable[[assembled.Chosen], Made], faults: dict[str, None]
    ) -> Made | None:
        """What is made of the values of these axes, one object for equal values; None where it is unsound, and why among the faults."""
        paths = [path for path in self.sweep.axes if path.partition(".")[0] in roots]
        key = (roots[0], *(f"{path}={indices[path]}" for path in paths))
        if key not in self._made:
            try:
                self._made[key] = make({path: (self._values[path][indices[path]], self.sweep.place(path, indices[path])) for path in paths})
            except ConfigError as fault:
                self._made[key] = fault
        found = self._made[key]
        if isinstance(found, ConfigError):
            faults |= dict.fromkeys(found.faults)
            return None
        made: Made = found
        return made

    def _machine(self, chosen: assembled.Chosen) -> Machine:
        return Machine(assembled.machine(self.sweep.accelerator, chosen))

    def _jobs(self, chosen: assembled.Chosen) -> tuple[SweepJob, ...]:
        if not chosen:
            return self.sweep.jobs
        # where values decide the data, every job is a network on images
        bases = [base for base in self.sweep.jobs if isinstance(base, SweepInferenceJob)]
        return tuple(assembled.job(base, chosen, f"sweep.jobs.{index}", self.sweep.source) for index, base in enumerate(bases))


def settings(sweep: Sweep) -> tuple[Setting, ...]:
    """All combinations that the conditions let through, the first axis slowest.

    Raises:  `ConfigError` with every fault of every machine, job, scheme option and engine among them, each once
    """
    space = Space(sweep)
    if space.size > MOST_POINTS:
        fix = "name fewer values, or choose among them: search: {trials: 200}"
        raise ConfigError(f"sweep {sweep.name}: {space.size:,} combinations, {MOST_POINTS:,} is the most\n    {fix}")
    faults: dict[str, None] = {}
    found = []
    for chosen in itertools.product(*map(range, space.lengths)):
        indices = space.combination(chosen)
        if indices is not None:
            try:
                found.append(space.setting(indices))
            except ConfigError as fault:
                faults |= dict.fromkeys(fault.faults)
    if faults:
        raise ConfigError(*faults)
    if not found:
        raise ConfigError(f"sweep {sweep.name}: no point meets every condition\n    conditions: {'; '.join(sweep.where)}")
    return tuple(found)


def shown_value(value: Any) -> Any:
    """A value as tables show it: numbers as they are, a file by its name, keys with their values (`sparsity=0.5`), the rest as one text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return Path(value).stem if value.endswith((".yaml", ".yml")) else str(value)
    if isinstance(value, Mapping) and not any(isinstance(inner, Mapping | list | tuple) for inner in value.values()):
        return ", ".join(f"{key}={shown_value(inner)}" for key, inner in value.items())
    return "none" if value is None else json.dumps(value, default=str)


def all_schemes(sweep: Sweep) -> tuple[str, ...]:
    """Every scheme that a sweep names, the baseline first."""
    own = [scheme for job in sweep.jobs for scheme in job.schemes or ()]
    return tuple(dict.fromkeys([sweep.baseline, *sweep.schemes, *own]))


def image_name(source: str) -> str:
    """What a trace calls its image: the stem of the file, or the key in its archive."""
    file, _, key = source.partition(".npz:")
    return key.replace(":", "_") or Path(file).stem


def _names(path: str, values: Sequence[Any], contents: Sequence[Any]) -> list[Any]:
    """The values of an axis as tables show them; networks and images by their names, unless two share one."""
    shown = [shown_value(value) for value in values]
    names = shown
    if path == "image":
        names = [image_name(value) for value in values]
    elif path == "network":
        names = [content.get("name", name) if isinstance(content, Mapping) else name for content, name in zip(contents, shown, strict=True)]
    return names if len(set(names)) == len(names) else shown


def _holds(left: Any, relation: str, right: Any) -> bool:
    first = number(left)
    second = number(right if not isinstance(right, str) or number(right) else _literal(right))
    if first is not None and second is not None and first[1] is second[1]:
        return _RELATIONS[relation](first[0], second[0])
    if relation in ("==", "!="):
        return _RELATIONS[relation](str(left), str(shown_value(right)))
    raise ConfigError(f"where: {left} {relation} {right}: these cannot be compared\n    compare numbers, or quantities of one kind")


def _literal(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _options(sweep: Sweep, indices: Indices) -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = {}
    for path, index in indices.items():
        if path.startswith("scheme."):
            _, name, option = path.split(".")
            options.setdefault(name, {})[option] = sweep.values(path)[index]
    return options


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
