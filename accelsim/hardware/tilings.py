"""Tile sizes and loop orders that the user fixes, as YAML gives them; what is not said here, the schedule chooses.

That a fixed tile fits into the buffer, and that a layer of that name exists, is found by the schedule.
"""

from __future__ import annotations

from itertools import permutations
from typing import Annotated, Any

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim.errors import RefusalError, choices, quoted
from accelsim.hardware.part import Part

ORDERS = tuple("".join(order) for order in permutations("KCP"))
"""Loop orders, outermost first: filters (K), channels (C), positions (P: rows, columns inside them, images of a batch around them)."""
Size = Annotated[int, Field(ge=1, le=2**20)]


class _Order:
    """Pydantic annotation: one of ORDERS."""

    def _check(self, order: str) -> str:
        if order not in ORDERS:
            meaning = "K filters, C channels, P positions (rows and columns), outermost first"
            raise RefusalError(f"{quoted(order)} is not an order of loops", choices(ORDERS, order), meaning)
        return order

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": list(ORDERS)}


class FixedTiling(Part):
    """Tile sizes of one layer; those left out are searched. Elements of the output for rows and columns."""

    groups: Size | None = None
    """Groups of a grouped convolution that a tile covers; more than one only with all their filters and channels."""
    filters: Size | None = None
    """Filters (of one group) whose outputs a tile holds."""
    filters_at_once: Size | None = None
    """Filters that are loaded at a time; all of the tile's if not given."""
    channels: Size | None = None
    """Ifmap channels (of one group) that a tile reads."""
    rows: Size | None = None
    """Rows of the output."""
    columns: Size | None = None
    """Columns of the output."""
    images: Size | None = None
    """Images of the batch; more than one are taken whole, with all their rows."""
    order: Annotated[str, _Order()] | None = None
    """Order of the loops, outermost first: K filters, C channels, P positions."""

    @model_validator(mode="after")
    def _consistent(self) -> FixedTiling:
        if self.images is not None and self.images > 1 and self.rows is not None:
            fault = f"rows {self.rows} beside images {self.images}"
            raise RefusalError(fault, "several images are taken whole: leave rows out", at=["rows"])
        if self.filters is not None and self.filters_at_once is not None and self.filters_at_once > self.filters:
            fault = f"filters_at_once {self.filters_at_once} is more than filters {self.filters}"
            raise RefusalError(fault, "it is what is loaded at a time of the tile's filters", at=["filters_at_once"])
        return self

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}

    def over(self, under: FixedTiling) -> FixedTiling:
        """This one, with what it leaves out from another."""
        return under.model_copy(update={name: value for name, value in self if value is not None})


FREE = FixedTiling()
"""Nothing is fixed."""


class Tilings(Part):
    """Fixed tile sizes and loop orders."""

    default: FixedTiling = FixedTiling()
    """For every layer; sizes beyond a layer's are cut down to it."""
    layers: dict[str, FixedTiling] = Field(default_factory=dict)
    """By the name of the layer, as reports call it; over `default`."""

    def __hash__(self) -> int:
        return hash((self.default, frozenset(self.layers.items())))


class Slots(Part):
    """Tiles of each tensor that the buffer holds."""

    ifmap: Size = 2
    """Tiles of input feature maps."""
    filter: Size = 2
    """Tiles of weights."""
    ofmap: Size = 2
    """Tiles of outputs or partial sums."""


def by_tensor(slots: int | Slots) -> tuple[int, int, int]:
    """Slots of ifmap, filter and ofmap."""
    return (slots, slots, slots) if isinstance(slots, int) else (slots.ifmap, slots.filter, slots.ofmap)
