"""Vectors for schemes: JSON files that people or scripts made, read with every fault named, and rows that compare exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.hardware import Accelerator, BusLink, Data, Dma, PeArray, UnifiedBuffer
from accelsim.hardware.dram import FlatDram
from accelsim.trace import FeatureMap, measure
from accelsim.validation.result import Compared, judged

MAX_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class Tensor:
    """The map that vectors are about. Shapes: `values` int64 [C, H, W]."""

    values: NDArray[np.int64]

    @property
    def fmap(self) -> FeatureMap:
        """What a trace would know of it."""
        return measure(self.values)


@dataclass(frozen=True, eq=False)
class Case:
    """One entry of a file of vectors, for messages too."""

    path: Path
    name: str
    content: Mapping[str, Any]

    def number(self, key: str) -> float:
        """A number that must be there."""
        value = self.content.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.fault(f"{key}: {value!r:.60} is no number" if key in self.content else f"no key {key!r}")
        return value

    def count(self, key: str) -> int:
        """A whole number from 0 that must be there."""
        value = self.number(key)
        if value != int(value) or value < 0:
            raise self.fault(f"{key}: {value!r:.60} is not a whole number from 0")
        return int(value)

    def items(self, key: str) -> Sequence[Any]:
        """A list that must be there."""
        value = self.content.get(key)
        if not isinstance(value, list):
            raise self.fault(f"{key}: {value!r:.60} is no list" if key in self.content else f"no key {key!r}")
        return value

    def inner(self, key: str) -> Case:
        """A mapping below this one."""
        value = self.content.get(key)
        if not isinstance(value, dict):
            raise self.fault(f"{key}: {value!r:.60} is no mapping" if key in self.content else f"no key {key!r}")
        return Case(self.path, f"{self.name}, {key}" if self.name else key, value)

    def fault(self, text: str) -> ModelError:
        """What is wrong with this entry."""
        return ModelError(f"{self.path}: {self.name}: {text}" if self.name else f"{self.path}: {text}")

    def compare(self, family: str, ours: Mapping[str, Any], name: str = "") -> Compared:
        """One row: every quantity of ours that the entry has must be exactly the same."""
        theirs = {key: self.content[key] for key in ours if key in self.content}
        if not theirs:
            raise self.fault(f"nothing to compare; known: {', '.join(ours)}")
        return exact(name or self.name, family, {key: (ours[key], value) for key, value in theirs.items()})


def exact(name: str, family: str, quantities: Mapping[str, tuple[Any, Any]]) -> Compared:
    """A row whose quantities (ours, theirs) must be equal. Numbers among them are shown."""
    faults, shown = [], {}
    for key, (ours, theirs) in quantities.items():
        same = bool(ours == theirs)
        if isinstance(theirs, int | float) and not isinstance(theirs, bool):
            shown[key] = (float(ours), float(theirs))
        if not same:
            faults.append(f"{key}: {ours!r:.80} is not {theirs!r:.80}")
    agreed = len(quantities) - len(faults)
    return Compared(name, family, "quantities", agreed, len(quantities), judged(faults), tuple(faults), shown)


def read_json(path: Path) -> Case:
    """Read a file of vectors. Raises `ModelError` where it is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size:,} bytes; allowed: up to {MAX_BYTES:,}")
        content = json.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise ModelError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as fault:
        raise ModelError(f"{path}: not JSON: {' '.join(str(fault).split())}") from fault
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a mapping of cases is needed, this is a {type(content).__name__}")
    return Case(path, "", content)


def read_tensor(path: Path) -> Tensor:
    """Read the map of a set of vectors: whole numbers `values` [C, H, W]. Raises `ModelError` where it is none."""
    case = read_json(path)
    try:
        values = np.array(case.items("values"), dtype=np.int64)
    except (ValueError, OverflowError, TypeError):
        raise case.fault("values: whole numbers [C][H][W] are needed") from None
    if values.ndim != 3 or not values.size or np.abs(values).max() >= 2**31:
        raise case.fault(f"values: shape {list(values.shape)}; whole numbers [C][H][W] below 2**31 are needed")
    for key, size in zip("CHW", values.shape, strict=True):
        if case.content.get(key, size) != size:
            raise case.fault(f"{key} is {case.content[key]!r:.20}, values have {size}")
    return Tensor(values)


def machine(rows: int = 1, cols: int = 1, bits: int = 16, access: int = 1) -> Accelerator:
    """A machine with this array; buffer and rates play no part in vectors. Units: `bits` of elements and weights; `access` in bytes."""
    return Accelerator(
        name="vectors",
        clock=10**9,
        pe_array=PeArray(rows=rows, cols=cols),
        data=Data(ifmap_bits=bits, filter_bits=bits),
        buffer=UnifiedBuffer(organisation="unified", size=2**30),
        dma=Dma(access=access, burst=max(64, access), min_skip=1),
        link=BusLink(kind="bus"),
        dram=FlatDram(kind="flat", rate=10**9),
    )
