"""One ONNX operator as the readers see it: its inputs, and its attributes with their types checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper

from accelsim.errors import ModelError, choices, quoted


def type_name(number: int) -> str:
    """Name of a type of data by its number in the format, as numpy and `graph.Node` write it."""
    try:
        return str(helper.tensor_dtype_to_np_dtype(number).name)
    except (KeyError, ValueError, TypeError):
        return f"type {number}"


@dataclass(frozen=True, eq=False)
class Call:
    """An operator.

    `version`: of the set of operators that it belongs to. `name`: printable, made of its operator and number where the file gives none.
    """

    path: Path
    name: str
    operator: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, object]

    @classmethod
    def of(cls, path: Path, node: onnx.NodeProto, number: int, version: int) -> Call:
        """Read one operator. Raises `ModelError` where an attribute cannot be read."""
        plain = "".join(char if char.isprintable() else "_" for char in node.name)[:120]
        name = plain or f"{node.op_type}_{number}"
        try:
            attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        except ValueError as fault:
            raise ModelError(f"{path}: {name} ({node.op_type}): an attribute cannot be read: {fault}") from fault
        return cls(path, name, node.op_type, version, tuple(node.input), tuple(node.output), attributes)

    def fault(self, text: str) -> ModelError:
        """Make an error that begins with the file, the node and its operator."""
        return ModelError(f"{self.path}: {self.name} ({self.operator}): {text}")

    def given(self, position: int) -> bool:
        """Whether an input is there; optional ones may be left out or have an empty name."""
        return position < len(self.inputs) and self.inputs[position] != ""

    def integer(self, key: str, default: int) -> int:
        """Whole number."""
        value = self.attributes.get(key, default)
        if not isinstance(value, int):
            raise self.fault(f"{key} {value!r:.60}; a whole number is needed")
        return value

    def integers(self, key: str) -> tuple[int, ...] | None:
        """Whole numbers, or None where the attribute is absent."""
        value = self.attributes.get(key)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not all(isinstance(item, int) for item in value):
            raise self.fault(f"{key} {value!r:.60}; whole numbers are needed")
        return tuple(value)

    def number(self, key: str, default: float) -> float:
        """Real number."""
        value = self.attributes.get(key, default)
        if not isinstance(value, int | float):
            raise self.fault(f"{key} {value!r:.60}; a number is needed")
        return float(value)

    def text(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of a few texts."""
        value = self.attributes.get(key, default)
        found = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if found not in allowed:
            raise self.fault(f"{key} {quoted(found)} is not supported\n    {choices(allowed, found)}")
        return found
