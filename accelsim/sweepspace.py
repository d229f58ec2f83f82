"""The points that a sweep file spans: values of the axes in order, each with its machine, every machine validated."""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from accelsim import configfile, schemes
from accelsim.errors import ConfigError, RefusalError, choices
from accelsim.faults import PLACES, explain
from accelsim.hardware import EMBEDDED, Accelerator, load_accelerator
from accelsim.located import KINDS, Fault, Place, Source, Value, assigned
from accelsim.memory import load_memory
from accelsim.sweepfile import Sweep, number
from accelsim.units import WRITTEN

MOST_POINTS = 1_000_000
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
        return hashlib.sha256(json.dumps(self.accelerator.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Setting:
    """One combination of values, by axis, as tables show them; the machine and engine it gives, and options of schemes by name."""

    values: Mapping[str, Any]
    machine: Machine
    engine: str
    options: Mapping[str, Mapping[str, Any]]

    def scheme(self, written: str) -> str:
        """A scheme with the options that the axes give it, as its label."""
        name, _, own = written.partition(":")
        given = self.options.get(name)
        if not given:
            return written
        options = dict(option.split("=", 1) for option in own.split(",") if option) | {key: str(value) for key, value in given.items()}
        return schemes.load(f"{name}:" + ",".join(f"{key}={value}" for key, value in options.items())).label


def settings(sweep: Sweep) -> tuple[Setting, ...]:
    """All combinations that the conditions let through, the first axis slowest.

    Raises:  `ConfigError` with every fault of every machine, scheme option and engine among them, each once
    """
    faults: dict[str, None] = {}
    machines: dict[tuple[int, ...], Machine | None] = {}
    paths = list(sweep.axes)
    parts = [path for path in paths if path.partition(".")[0] == "accelerator"]
    values = {path: _embedded(path, sweep.values(path), sweep, faults) for path in paths}
    found = []
    for indices in _combinations(sweep):
        key = tuple(indices[path] for path in parts)
        if key not in machines:
            machines[key] = _machine(sweep, {path: (values[path][indices[path]], indices[path]) for path in parts}, faults)
        machine = machines[key]
        engine, options = sweep.engine, _options(sweep, indices)
        if "engine" in indices:
            engine = sweep.values("engine")[indices["engine"]]
            if engine not in ("fast", "reference"):
                where = f"{sweep.place('engine', indices['engine'])}: sweep.axes.engine"
                faults[f"{where}: {engine!r} is not an engine\n    {choices(['fast', 'reference'], str(engine))}"] = None
        if machine is not None:
            shown = {path: shown_value(sweep.values(path)[index]) for path, index in indices.items() if path != "engine"}
            found.append(Setting(shown, machine, engine, options))
    for setting in found:
        for scheme in _all_schemes(sweep):
            try:
                setting.scheme(scheme)
            except ConfigError as fault:
                faults[str(fault)] = None
    named = {scheme.partition(":")[0] for scheme in _all_schemes(sweep)}
    for path in paths:
        root, _, rest = path.partition(".")
        if root == "scheme" and rest.partition(".")[0] not in named:
            faults[f"{sweep.place(path, 0)}: sweep.axes.{path}: no such scheme is swept\n    {choices(sorted(named))}"] = None
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


def _all_schemes(sweep: Sweep) -> tuple[str, ...]:
    own = [scheme for job in sweep.jobs for scheme in job.schemes or ()]
    return tuple(dict.fromkeys([sweep.baseline, *sweep.schemes, *own]))


def _combinations(sweep: Sweep) -> Iterator[dict[str, int]]:
    """Indices of values by axis, where every condition holds; axes that go in step stand where the first of them does."""
    groups = [next((group for group in sweep.zip if path in group), (path,)) for path in sweep.axes]
    groups = list(dict.fromkeys(groups))
    lengths = [len(sweep.values(group[0])) for group in groups]
    total = 1
    for length in lengths:
        total *= length
    if total > MOST_POINTS:
        raise ConfigError(f"sweep {sweep.name}: {total:,} combinations, {MOST_POINTS:,} is the most\n    name fewer values")
    conditions = sweep.conditions()
    for chosen in itertools.product(*map(range, lengths)):
        by_path = {path: index for group, index in zip(groups, chosen, strict=True) for path in group}
        point = {path: sweep.values(path)[index] for path, index in by_path.items()} if conditions else {}
        if all(_holds(point[one.left], one.relation, point.get(sweep.axis_named(one.right) or "", one.right)) for one in conditions):
            yield {path: by_path[path] for path in sweep.axes}


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
        # the default binds this turn of the loop; mypy cannot infer such a lambda
        value = _tree(content, "", lambda _, where=where: where)  # type: ignore[misc]
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
