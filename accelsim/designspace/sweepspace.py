"""The points that a sweep file spans: values of the axes in order, each with its machine, every machine validated."""

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
from typing import Any

from pydantic import ValidationError

from accelsim import configfile, schemes
from accelsim.configfile.faults import PLACES, explain
from accelsim.configfile.located import KINDS, Fault, Place, Source, Value, assigned
from accelsim.designspace.sweepfile import Sweep, number
from accelsim.errors import ConfigError, RefusalError, choices
from accelsim.hardware import EMBEDDED, Accelerator, load_accelerator
from accelsim.hardware.memory import load_memory
from accelsim.units import WRITTEN

MOST_POINTS = 1_000_000
UNSCHEDULED = frozenset({"name", "clock", "link", "dram", "energy"})
"""Parts of a machine that no schedule depends on: they say how long its transfers take and what they cost."""
_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
)


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
    """One combination of values, by axis, as tables show them; the machine and engine it gives, and options of schemes by name."""

    values: Mapping[str, Any]
    machine: Machine
    engine: str
    options: Mapping[str, Mapping[str, Any]]

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
    """Every combination of the axes' values, each made when it is asked for. A combination is the index of a value by axis.

    Raises:  `ConfigError` for values that name files which cannot be read, and for options of schemes that are not swept
    """

    def __init__(self, sweep: Sweep) -> None:
        faults: dict[str, None] = {}
        self.sweep = sweep
        self._values = {path: _embedded(path, sweep.values(path), sweep, faults) for path in sweep.axes}
        self._parts = [path for path in sweep.axes if path.partition(".")[0] == "accelerator"]
        self._machines: dict[tuple[int, ...], Machine | tuple[str, ...]] = {}
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

    @property
    def size(self) -> int:
        """Combinations, whatever the conditions say."""
        return math.prod(self.lengths)

    def shown(self, chosen: Sequence[int]) -> dict[str, Any]:
        """The values of a combination as tables show them, by axis; the engine has a column of its own."""
        indices = self._by_path(chosen)
        return {path: shown_value(self.sweep.values(path)[indices[path]]) for path in self.sweep.axes if path != "engine"}

    def combination(self, chosen: Sequence[int]) -> dict[str, int] | None:
        """The combination of one value of each group; None where a condition does not hold."""
        by_path = self._by_path(chosen)
        point = {path: self.sweep.values(path)[index] for path, index in by_path.items()} if self._conditions else {}
        for one in self._conditions:
            if not _holds(point[one.left], one.relation, point.get(self.sweep.axis_named(one.right) or "", one.right)):
                return None
        return {path: by_path[path] for path in self.sweep.axes}

    def setting(self, indices: Mapping[str, int]) -> Setting:
        """One combination with its machine. Raises `ConfigError` with every fault of the machine, its scheme options and its engine."""
        sweep = self.sweep
        machine = self._machine(indices)
        faults = dict.fromkeys(machine if isinstance(machine, tuple) else ())
        engine = sweep.engine
        if "engine" in indices:
            engine = sweep.values("engine")[indices["engine"]]
            if engine not in ("fast", "reference"):
                where = f"{sweep.place('engine', indices['engine'])}: sweep.axes.engine"
                faults[f"{where}: {engine!r} is not an engine\n    {choices(['fast', 'reference'], str(engine))}"] = None
        if faults or isinstance(machine, tuple):
            raise ConfigError(*faults)
        shown = {path: shown_value(sweep.values(path)[index]) for path, index in indices.items() if path != "engine"}
        setting = Setting(shown, machine, engine, _options(sweep, indices))
        for scheme in all_schemes(sweep):
            setting.scheme(scheme)
        return setting

    def _by_path(self, chosen: Sequence[int]) -> dict[str, int]:
        return {path: index for group, index in zip(self.groups, chosen, strict=True) for path in group}

    def _machine(self, indices: Mapping[str, int]) -> Machine | tuple[str, ...]:
        """The machine of a combination, or its faults; machines of equal values are one object."""
        key = tuple(indices[path] for path in self._parts)
        if key not in self._machines:
            faults: dict[str, None] = {}
            chosen = {path: (self._values[path][indices[path]], indices[path]) for path in self._parts}
            self._machines[key] = _machine(self.sweep, chosen, faults) or tuple(faults)
        return self._machines[key]


def settings(sweep: Sweep) -> tuple[Setting, ...]:
    """All combinations that the conditions let through, the first axis slowest.

    Raises:  `ConfigError` with every fault of every machine, scheme option and engine among them, each once
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
    """A value as tables show it: numbers as they are, the name of a file without its folder, the rest as one text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return Path(value).stem if value.endswith((".yaml", ".yml")) else str(value)
    return json.dumps(value, default=str)


def all_schemes(sweep: Sweep) -> tuple[str, ...]:
    """Every scheme that a sweep names, the baseline first."""
    own = [scheme for job in sweep.jobs for scheme in job.schemes or ()]
    return tuple(dict.fromkeys([sweep.baseline, *sweep.schemes, *own]))


def _holds(left: Any, relation: str, right: Any) -> bool:
    first = number(left)
    second = number(right if not isinstance(right, str) or number(right) else _literal(right))
    if first is not None and second is not None and first[1] is second[1]:
        return _RELATIONS[relation](first[0], second[0])
    if relation in ("==", "!="):
        return _RELATIONS[relation](str(shown_value(left)), str(shown_value(right)))
    raise ConfigError(f"where: {left} {relation} {right}: these cannot be compared\n    compare numbers, or quantities of one kind")


def _literal(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _embedded(path: str, values: Sequence[Any], sweep: Sweep, faults: dict[str, None]) -> list[Any]:
    """Values of an axis, the content of files in place of their paths where files may stand."""
    below = path.partition(".")[2]
    if path != "accelerator" and below not in EMBEDDED:
        return list(values)
    made: list[Any] = []
    for index, value in enumerate(values):
        content = value
        if isinstance(value, str):
            file = getattr(value, "folder", Path()) / value
            try:
                content = (load_accelerator(file) if path == "accelerator" else load_memory(file)).model_dump(
                    mode="json", exclude_none=True
                )
            except ConfigError as fault:
                faults[f"{sweep.place(path, index)}: sweep.axes.{path}: {value}:\n{fault}"] = None
                content = None
        made.append(content)
    return made


def _machine(sweep: Sweep, chosen: Mapping[str, tuple[Any, int]], faults: dict[str, None]) -> Machine | None:
    """The machine of these values; None where it is unsound, and why among the faults."""
    base = sweep.accelerator
    tree = _tree(base.model_dump(mode="json", exclude_none=True), "", base.place)
    # As with --set: parents before children, and the key that names a kind before the keys which that kind has.
    for path in sorted(chosen, key=lambda path: (path.count("."), path.rpartition(".")[2] not in KINDS)):
        content, index = chosen[path]
        if content is None:
            return None
        where = sweep.place(path, index)
        # the default binds this turn of the loop
        value = _tree(content, "", lambda _, where=where: where)  # type: ignore[misc]  # mypy cannot infer such a lambda
        if path == "accelerator":
            tree = value
            continue
        try:
            tree = assigned(tree, path.split(".")[1:], value, value.place)
        except RefusalError as refusal:
            faults[str(Fault(value.place, path, refusal.fault, refusal.remedy))] = None
            return None
    try:
        return Machine(Accelerator.model_validate(tree.plain(), context={WRITTEN: True, PLACES: tree.places("accelerator")}))
    except ValidationError as error:
        faults |= dict.fromkeys(str(fault) for fault in explain(error, Accelerator, tree, "accelerator"))
        return None


def _options(sweep: Sweep, indices: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = {}
    for path, index in indices.items():
        if path.startswith("scheme."):
            _, name, option = path.split(".")
            options.setdefault(name, {})[option] = sweep.values(path)[index]
    return options


def _tree(data: Any, path: str, where: Callable[[str], str]) -> Value:
    """Plain data as values with places."""
    place = Place(Source(where(path), Path()))
    inside = f"{path}." if path else ""
    if isinstance(data, Mapping):
        content = {key: _tree(value, f"{inside}{key}", where) for key, value in data.items()}
        return Value(content, place, keys={key: value.place for key, value in content.items()})
    if isinstance(data, list | tuple):
        return Value(tuple(_tree(value, f"{inside}{index}", where) for index, value in enumerate(data)), place)
    raw = configfile.dump(data).splitlines()[0] if data is not None and not isinstance(data, str) else str(data or "")
    return Value(data, place, raw)


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
