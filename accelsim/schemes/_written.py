"""Schemes in YAML: `dense`, `zero_block:height=8,width=8`, or a mapping `{zero_block: {height: 8, width: 8}}`; each becomes its label.

With a weight scheme: `channel_marker+eie`, or `{zero_block: {height: 8}, weights: eie}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    create_model,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accelsim import weights
from accelsim.configfile.families import members
from accelsim.errors import RefusalError, refuse
from accelsim.schemes._chosen import Scheme, member, read
from accelsim.schemes.base import Options


class _Text:
    """Pydantic annotation: a scheme in one text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(lambda text: read(text).label, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # An editor offers the names; a name with options, or with a weight scheme, is a text as well.
        more = {"type": "string", "pattern": f"^{_form_of('schemes')}([+]{_form_of('weights')})?$"}
        return {"anyOf": [{"type": "string", "enum": list(members("schemes"))}, more]}


class _WeightText:
    """Pydantic annotation: a weight scheme in one text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(lambda text: weights.read(text).label, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        more = {"type": "string", "pattern": f"^{_form_of('weights')}$"}
        return {"anyOf": [{"type": "string", "enum": list(members("weights"))}, more]}


def _form_of(family: str) -> str:
    return f"({'|'.join(members(family))})(:[a-z_]+=[^+]+)?"


class _OneScheme(BaseModel):
    """A mapping of one key, the scheme's name, to its options; and of `weights`, to a weight scheme."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    weights: Annotated[str, _WeightText()] = Field(default="dense", description="What is done about zeros of weights.")

    def label(self) -> str:
        """The scheme in one text."""
        given = sorted(self.model_fields_set - {"weights"})
        if len(given) != 1:
            what = f"{len(given)} schemes in one item: {', '.join(given)}" if given else "no scheme in this item"
            refuse([RefusalError(what, "write one item for each: [{zero_block: {height: 8}}, {zvc: {}}]")])
        return Scheme(given[0], cast(Options, getattr(self, given[0])), weights.read(self.weights)).label


_FIELDS: dict[str, Any] = {
    name: (member(name).Options, Field(default=None, description=str(member(name).__doc__).partition("\n")[0]))
    for name in members("schemes")
}
WithOptions = create_model("SchemeWithOptions", __base__=_OneScheme, __doc__="A scheme with options.", **_FIELDS)


def _form(written: Any) -> str:
    return "options" if isinstance(written, Mapping | _OneScheme) else "name"


def _label(written: str | _OneScheme) -> str:
    return written if isinstance(written, str) else written.label()


Written = Annotated[
    Annotated[Annotated[str, _Text()], Tag("name")] | Annotated[WithOptions, Tag("options")],  # type: ignore[valid-type]  # made at run time
    Discriminator(_form),
    AfterValidator(_label),
]
"""Type of a scheme in a run file: whatever is written, its label."""
