"""Values of axes put into a machine, or into a job: what comes out is validated as if it had stood in a file, and faults name the axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from accelsim import configfile
from accelsim.configfile.faults import PLACES, explain
from accelsim.configfile.located import KINDS, Fault, Place, Source, Text, Value, assigned
from accelsim.designspace.sweepfile import Sweep, SweepInferenceJob
from accelsim.errors import ConfigError, RefusalError
from accelsim.hardware import EMBEDDED, Accelerator, load_accelerator
from accelsim.hardware.memory import load_memory
from accelsim.runfile import load_network_file
from accelsim.units import WRITTEN

Model = TypeVar("Model", bound=BaseModel)
Chosen = Mapping[str, tuple[Any, str]]
"""Values of axes by path, each with the place where it was written."""


def contents(path: str, values: Sequence[Any], sweep: Sweep) -> list[Any]:
    """Values of an axis, the content of files in place of their paths where files may stand.

    Raises:  `ConfigError` with every fault of every file
    """
    root, _, below = path.partition(".")
    loads: Mapping[str, Callable[[Path], BaseModel]] = {"accelerator": load_accelerator, "network": load_network_file}
    if below and not (root == "accelerator" and below in EMBEDDED):
        return list(values)
    load = load_memory if below else loads.get(root)
    made: list[Any] = []
    faults: list[str] = []
    for index, value in enumerate(values):
        content = value
        if isinstance(value, str) and load is not None:
            try:
                content = load(getattr(value, "folder", Path()) / value).model_dump(mode="json", exclude_none=True)
            except ConfigError as fault:
                faults.append(f"{sweep.place(path, index)}: sweep.axes.{path}: {value}:\n{fault}")
        made.append(content)
    if faults:
        raise ConfigError(*faults)
    return made


def machine(base: Accelerator, chosen: Chosen) -> Accelerator:
    """The machine with these values. Raises `ConfigError` with every fault."""
    tree = _tree(base.model_dump(mode="json", exclude_none=True), "", base.place)
    for path, value in _in_order(chosen):
        tree = value if path == "accelerator" else _put(tree, path, path.split(".")[1:], value)
    return _validated(Accelerator, tree, "accelerator")


def job(base: SweepInferenceJob, chosen: Chosen, root: str, source: Callable[[str], str]) -> SweepInferenceJob:
    """The job with these values of its network, epsilon, mode and image. `source`: where a key of the base was written.

    Raises:  `ConfigError` with every fault
    """
    tree = _tree(base.model_dump(mode="json", exclude_none=True), root, source)
    for path, value in _in_order(chosen):
        keys, put = (["images"], Value((value,), value.place)) if path == "image" else (path.split("."), value)
        tree = _put(tree, path, keys, put)
    network = tree.child("network")
    if network is not None:
        tree = tree.with_child("network", replace(network, name="network"), network.place)
    return _validated(SweepInferenceJob, tree, root)


def _in_order(chosen: Chosen) -> list[tuple[str, Value]]:
    """As with --set: parents before children, and the key that names a kind before the keys which that kind has."""
    order = sorted(chosen, key=lambda path: (path.count("."), path.rpartition(".")[2] not in KINDS))
    return [(path, _tree(chosen[path][0], "", _everywhere(chosen[path][1]))) for path in order]


def _everywhere(where: str) -> Callable[[str], str]:
    """All keys below one that an axis sets were written where the axis was."""
    return lambda _: where


def _put(tree: Value, path: str, keys: Sequence[str], value: Value) -> Value:
    try:
        return assigned(tree, keys, value, value.place)
    except RefusalError as refusal:
        raise ConfigError(str(Fault(value.place, path, refusal.fault, refusal.remedy))) from None


def _validated(model: type[Model], tree: Value, root: str) -> Model:
    try:
        return model.model_validate(tree.plain(), context={WRITTEN: True, PLACES: tree.places(root)})
    except ValidationError as error:
        raise ConfigError(*dict.fromkeys(str(fault) for fault in explain(error, model, tree, root))) from None


def _tree(data: Any, path: str, where: Callable[[str], str]) -> Value:
    """Plain data as values with places; texts know the folder that relative paths in them start from."""
    place = Place(Source(where(path), data.folder if isinstance(data, Text) else Path()))
    inside = f"{path}." if path else ""
    if isinstance(data, Mapping):
        content = {key: _tree(value, f"{inside}{key}", where) for key, value in data.items()}
        return Value(content, place, keys={key: value.place for key, value in content.items()})
    if isinstance(data, list | tuple):
        return Value(tuple(_tree(value, f"{inside}{index}", where) for index, value in enumerate(data)), place)
    raw = configfile.dump(data).splitlines()[0] if data is not None and not isinstance(data, str) else str(data or "")
    return Value(data, place, raw)
