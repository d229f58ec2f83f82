"""Thresholds up to which values count as zero: one for all layers, by layer, or by channel, in one text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from accelsim.errors import ConfigError, RefusalError, choices, quoted
from accelsim.graph import OVERWRITTEN, Graph, Node
from accelsim.trace import FeatureMap, measure, pack

Bool = NDArray[np.bool_]
EXAMPLES = "write for example 0.1, or by layer conv1:0.1;conv2*:0.2, or by channel conv1:0.1/0/0.2"
_RESERVED = frozenset(";,+=")


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of layers: patterns of layer names ('*' stands for any letters) with one number, or one a channel.

    The first pattern that fits a layer counts; layers that none fits have 0.
    """

    layers: tuple[tuple[str, tuple[float, ...]], ...] = ()

    @classmethod
    def read(cls, written: Any) -> Thresholds:
        """From a number, a text, or a mapping of layers to numbers or lists of them. Raises `RefusalError`."""
        if isinstance(written, Thresholds):
            return written
        if isinstance(written, Mapping):
            return cls(tuple((_name(name), _numbers(numbers)) for name, numbers in written.items()))._plain()
        if not isinstance(written, str) or _is_number(written):
            return cls((("*", _numbers(written)),))._plain()
        layers = []
        for item in written.split(";"):
            name, colon, numbers = item.strip().rpartition(":")
            if not colon:
                raise RefusalError(f"{quoted(item)} is no layer with a threshold", EXAMPLES)
            layers.append((_name(name), _numbers(numbers.split("/"))))
        return cls(tuple(layers))._plain()

    def of(self, node: Node) -> NDArray[np.float32] | None:
        """Threshold of each channel of a layer, None where all are 0. Raises `ConfigError` where there are more or fewer than channels."""
        channels = node.shape[0]
        numbers = next((numbers for pattern, numbers in self.layers if fnmatchcase(node.name, pattern)), (0.0,))
        if len(numbers) not in (1, channels):
            raise ConfigError(f"{node.name}: {len(numbers)} thresholds\n    give one, or one for each of its {channels} channels")
        return np.broadcast_to(np.array(numbers, dtype=np.float32), channels) if any(numbers) else None

    def require_layers(self, graph: Graph) -> None:
        """Raise `ConfigError` for a pattern that fits no layer whose map may be touched."""
        names = [node.name for node in graph.nodes if node.kind in OVERWRITTEN]
        for pattern, _ in self.layers:
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
                raise ConfigError(
                    f"threshold of {quoted(pattern)}: no such layer writes a map in {graph.name}\n    {choices(names, pattern)}"
                )

    def _plain(self) -> Thresholds:
        """Itself, or none where all are 0."""
        return self if any(any(numbers) for _, numbers in self.layers) else NONE

    def __str__(self) -> str:
        """One text that `read` reads."""
        texts = ["/".join(f"{number:.9g}" for number in numbers) for _, numbers in self.layers]
        if [pattern for pattern, _ in self.layers] == ["*"] and len(self.layers[0][1]) == 1:
            return texts[0].replace("e+", "e")
        return ";".join(f"{name}:{text}" for (name, _), text in zip(self.layers, texts, strict=True)).replace("e+", "e") or "0"


NONE = Thresholds()
_NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
_BY_LAYER = {"type": "object", "additionalProperties": {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1}]}}
Written = Annotated[
    Thresholds,
    BeforeValidator(Thresholds.read),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "string"}, _BY_LAYER]}),
]
"""Type of thresholds among options."""


def cleared(values: NDArray[Any], parts: Bool, h: int, w: int) -> NDArray[Any]:
    """A copy of a map with zeros in some h x w parts. Shapes: values [C, H, W]; parts bool [C, ceil(H/h), ceil(W/w)]."""
    return np.where(_of_elements(parts, h, w, values.shape), values.dtype.type(0), values)


def without_parts(fmap: FeatureMap, parts: Bool, h: int, w: int) -> FeatureMap:
    """What a trace would know of a map with zeros in some parts. Part maxima are dropped: their parts may be others."""
    if fmap.values is not None:
        return measure(cleared(fmap.values, parts, h, w), values=True)
    nonzero = fmap.nonzero() & ~_of_elements(parts, h, w, fmap.shape)
    dead = np.logical_not(nonzero.any(axis=(1, 2)))
    return FeatureMap(fmap.shape, dead, nonzero.size - int(np.count_nonzero(nonzero)), pack(nonzero))


def _of_elements(parts: Bool, h: int, w: int, shape: tuple[int, ...]) -> Bool:
    return np.asarray(np.repeat(np.repeat(parts, h, axis=1)[:, : shape[1]], w, axis=2)[:, :, : shape[2]])


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or _RESERVED & set(name):
        raise RefusalError(
            f"{quoted(str(name))} cannot name layers here",
            f"allowed: names without {' '.join(sorted(_RESERVED))}; '*' stands for any letters",
        )
    return name


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(written: Any) -> tuple[float, ...]:
    """One number, or several."""
    every: Sequence[Any] = written if isinstance(written, list | tuple) else [written]
    found = []
    for one in every:
        number = float(one) if isinstance(one, int | float) or (isinstance(one, str) and _is_number(one)) else math.nan
        if not (math.isfinite(number) and number >= 0) or isinstance(one, bool):
            raise RefusalError(f"{one!r} is no threshold", "allowed: finite numbers from 0", EXAMPLES)
        found.append(number)
    if not found:
        raise RefusalError("no threshold in this list", EXAMPLES)
    return tuple(found)
