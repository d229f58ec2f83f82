"""What pydantic finds wrong, said in the words of the file: place, dotted path, value, what is allowed, and a guess."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from accelsim.configfile.located import Fault, Keys, Value
from accelsim.errors import RefusalError, choices, nearest, quoted
from accelsim.units import Quantity

PLACES = "places"
"""Key of the validation context: file and line of each value, by dotted path."""

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


@dataclass(frozen=True)
class _Spot:
    """Where an error lies: keys without pydantic's union tags, the model that holds the last key, and its rivals in a tagged union.

    `at`: the type that was expected there. `union`: keys of the first union without a tag on the way; each of its members complains.
    """

    keys: Keys
    owner: type[BaseModel] | None
    rivals: tuple[type[BaseModel], ...]
    union: Keys | None
    at: Any = None


def explain(error: ValidationError, model: type[BaseModel], tree: Value, root: str) -> list[Fault]:
    """Turn every error of one validation into a located fault. `tree`: what was validated, `root`: its dotted name."""
    details = [(detail, _spot(model, detail["loc"])) for detail in error.errors(include_url=False)]
    inner = {where.keys[:depth] for _, where in details for depth in range(len(where.keys))}
    # pydantic counts only sound items, so a list with an unsound one may be called too short as well
    details = [(detail, spot) for detail, spot in details if detail["type"] != "too_short" or spot.keys not in inner]
    guessed = {(*spot.keys[:-1], _guess(spot)) for detail, spot in details if detail["type"] == "extra_forbidden"}
    missing: dict[Keys, tuple[list[str], _Spot]] = {}
    faults = []
    for detail, spot in _without_union_echoes(details):
        cause = detail.get("ctx", {}).get("error")
        if detail["type"] == "missing" and isinstance(spot.keys[-1], str):
            if spot.keys not in guessed:  # else the unknown key beside it says so already
                missing.setdefault(spot.keys[:-1], ([], spot))[0].append(spot.keys[-1])
        elif isinstance(cause, RefusalError):
            faults += [_refused(refusal, spot.keys, tree, root) for refusal in (cause, *cause.also)]
        else:
            faults.append(_fault(detail, spot, tree, root))
    return faults + [_missing(names, spot, tree, root) for names, spot in missing.values()]


def _missing(names: Sequence[str], spot: _Spot, tree: Value, root: str) -> Fault:
    holder = spot.keys[:-1]
    examples = [_example(spot.owner, name) for name in names]
    text = f"missing key{'s' if len(names) > 1 else ''} {', '.join(map(quoted, names))}"
    remedy = [f"add for example {example}" for example in examples if example]
    return Fault(tree.locate(holder, at_key=True), tree.dotted(root, holder), text, remedy)


def _refused(refusal: RefusalError, keys: Keys, tree: Value, root: str) -> Fault:
    ways = [(*keys, *(int(key) if key.isdecimal() else key for key in at.split("."))) for at in refusal.at] or [keys]
    written = next((way for way in ways if _find(tree, way) is not None), ways[0])
    return Fault(tree.locate(written), tree.dotted(root, written), refusal.fault, refusal.remedy)


def _fault(detail: Any, spot: _Spot, tree: Value, root: str) -> Fault:
    kind, context, keys = detail["type"], detail.get("ctx", {}), spot.keys
    value = _find(tree, keys)
    shown = value.shown() if value is not None else quoted(str(detail.get("input")))
    written = str(value.content) if value is not None and isinstance(value.content, str) else ""
    if kind == "extra_forbidden":
        return Fault(tree.locate(keys, at_key=True), tree.dotted(root, keys[:-1]), f"unknown key {quoted(str(keys[-1]))}", _known(spot))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        name, allowed = _tags(detail, spot, tree)
        if kind == "union_tag_not_found" or name not in ((value.mapping if value else None) or {}):
            return Fault(tree.locate(keys, at_key=True), tree.dotted(root, keys), f"missing key {quoted(name)}", [choices(allowed)])
        keys = (*keys, name)
        tag = _find(tree, keys)
        given, text = (str(tag.content), tag.shown()) if tag is not None else ("", "this")
        return Fault(tree.locate(keys), tree.dotted(root, keys), f"{text} is not a known {name}", [choices(allowed, given)])
    if value is not None and value.content is None and kind in _EXPECTED:
        return Fault(tree.locate(keys), tree.dotted(root, keys), "a value is missing", [f"needed: {_EXPECTED[kind]}", *_keys(spot)])
    said, remedy = _plain(kind, context, shown, written, spot)
    message = str(context["error"]) if kind == "value_error" else detail["msg"]
    text = said or re.sub(r"^Input should be", f"{shown} must be", message)
    return Fault(tree.locate(keys), tree.dotted(root, keys), text, remedy)


def _plain(kind: str, context: Mapping[str, Any], shown: str, written: str, spot: _Spot) -> tuple[str | None, list[str]]:
    """The text for one of pydantic's error kinds, None where its own words will do."""
    if kind in _EXPECTED:
        return f"{shown} is not {_EXPECTED[kind]}", _hints(kind, written, shown, spot)
    if kind == "none_union":
        return f"{shown} is not {context['expected']}", []
    if kind in ("literal_error", "enum"):
        expected = re.findall(r"'([^']*)'|([\w.]+)", str(context["expected"]).replace(" or ", ", "))
        return f"{shown} is not allowed", [choices([text or word for text, word in expected], written)]
    if kind == "greater_than_equal":
        return f"{shown} is too small", [f"allowed: {context['ge']} or more"]
    if kind == "greater_than":
        return f"{shown} is too small", [f"allowed: more than {context['gt']}"]
    if kind == "less_than_equal":
        return f"{shown} is too large", [f"allowed: {context['le']} or less"]
    if kind == "less_than":
        return f"{shown} is too large", [f"allowed: less than {context['lt']}"]
    if kind in ("too_short", "missing"):
        return "too few items", [f"needed: at least {context['min_length']}"] if "min_length" in context else []
    if kind == "too_long":
        return "too many items", [f"allowed: at most {context['max_length']}"]
    if kind == "string_too_short":
        return f"{shown} is too short", [f"needed: at least {context['min_length']} character"]
    return None, []


def _hints(kind: str, written: str, shown: str, spot: _Spot) -> list[str]:
    """What to write instead, where the text shows what was meant."""
    if kind in ("int_type", "int_from_float", "float_type"):
        digits = written.replace("_", "")
        if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", digits):
            number = re.sub(r"^([+-]?)0+(?=[0-9])", r"\1", digits)
            return [f"write {number}, {'without quotes' if number == written else 'plain digits without quotes'}"]
        if kind != "float_type" and re.fullmatch(r"[0-9.]+[eE][0-9]+", shown):
            return [f"write {float(shown):.0f}"]
        if re.fullmatch(r"0[xob][0-9a-f]+", written.lower()):
            return [f"write {int(written, 0)}"]
    if kind == "bool_type":
        return [choices(["true", "false"], {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(written.lower(), written))]
    if kind == "string_type":
        return ["put it in quotes if it is meant as text"]
    if kind in ("tuple_type", "list_type"):
        return ["write [first, second], or one '- item' a line"]
    return _keys(spot)


def _keys(spot: _Spot) -> list[str]:
    """The keys of the mapping that is expected at the spot, if one is."""
    models = [spot.at] if isinstance(spot.at, type) and issubclass(spot.at, BaseModel) else _members(spot.at)
    return [choices(list(model.model_fields), what="its keys") for model in models]


def _known(spot: _Spot) -> list[str]:
    """The keys that a mapping may have, and whose key the unknown one is."""
    key = str(spot.keys[-1])
    lines = [choices(list(spot.owner.model_fields) if spot.owner else [], key)]
    for rival in spot.rivals:
        for name, field in rival.model_fields.items():
            if key in rival.model_fields and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                lines.append(f"{quoted(key)} belongs to {name}: {get_args(field.annotation)[0]}")
                break
    return lines


def _guess(spot: _Spot) -> str:
    return nearest(str(spot.keys[-1]), list(spot.owner.model_fields)) if spot.owner else ""


def _tags(detail: Any, spot: _Spot, tree: Value) -> tuple[str, list[str]]:
    """Name of the key that tells the members of a union apart, and its values."""
    name = detail["ctx"]["discriminator"].strip("'")
    members = _members(_field_type(spot.owner, spot.keys[-1])) if spot.owner else []
    return name, [str(tag) for member in members for tag in get_args(member.model_fields[name].annotation)]


def _example(owner: type[BaseModel] | None, name: str) -> str:
    field = owner.model_fields.get(name) if owner else None
    for mark in field.metadata if field else ():
        if isinstance(mark, Quantity):
            return f"{name}: {mark.examples[0]}"
    return ""


def _find(tree: Value, keys: Keys) -> Value | None:
    value: Value | None = tree
    for key in keys:
        value = value.child(key) if value is not None else None
    return value


def _without_union_echoes(details: Sequence[tuple[Any, _Spot]]) -> Iterator[tuple[Any, _Spot]]:
    """Of a union without a tag keep the member that fits best, or say all that would fit."""
    seen: set[Keys] = set()
    for detail, spot in details:
        if spot.union is None:
            yield detail, spot
        elif spot.union not in seen:
            seen.add(spot.union)
            family = [(other, where) for other, where in details if where.union == spot.union]
            telling = [(other, where) for other, where in family if other["type"] not in _EXPECTED or where.keys != spot.union]
            if telling:
                yield telling[0]
            else:
                expected = " or ".join(dict.fromkeys(_EXPECTED[other["type"]] for other, _ in family))
                yield {**detail, "type": "none_union", "ctx": {"expected": expected}}, spot


def _spot(model: type[BaseModel], location: Sequence[str | int]) -> _Spot:
    """Follow pydantic's location through the types, to drop the tags that it puts in for unions."""
    at: Any = model
    keys: Keys = ()
    owner: type[BaseModel] | None = None
    rivals: tuple[type[BaseModel], ...] = ()
    union: Keys | None = None
    for key in location:
        at = _bare(at)
        members = _members(at)
        if len(members) > 1 or _is_union(at):
            at = next((member for member in members if str(key) in _labels(at, member)), None)
            if at is None:
                union = keys if union is None else union
            rivals = tuple(member for member in members if member is not at)
            continue
        keys = (*keys, key)
        if isinstance(at, type) and issubclass(at, BaseModel):
            owner = at
            at = _field_type(at, key)
            if at is None:  # an unknown key: nothing lies below it
                break
            rivals = ()
        elif get_origin(at) is tuple:
            arguments = [argument for argument in get_args(at) if argument is not Ellipsis]
            at = arguments[min(int(key), len(arguments) - 1)]
        elif get_origin(at) is dict:
            at = get_args(at)[1]
        else:
            at = None
    return _Spot(keys, owner, rivals, union, _bare(at))


def _field_type(model: type[BaseModel] | None, key: str | int) -> Any:
    field = model.model_fields.get(str(key)) if model else None
    return field.annotation if field else None


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_union(annotation):
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        if len(members) == 1:
            return _bare(members[0])
    return annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The models of a union."""
    annotation = _bare(annotation)
    bare = [_bare(member) for member in get_args(annotation)] if _is_union(annotation) else []
    return [member for member in bare if isinstance(member, type) and issubclass(member, BaseModel)]


def _labels(union: Any, model: type[BaseModel]) -> set[str]:
    """The tags under which a member of a union goes."""
    labels = {
        str(value)
        for field in model.model_fields.values()
        if get_origin(field.annotation) is Literal
        for value in get_args(field.annotation)
    }
    for member in get_args(union):
        if get_origin(member) is Annotated and _bare(member) is model:
            labels |= {mark.tag for mark in get_args(member)[1:] if isinstance(mark, Tag)}
    return labels
