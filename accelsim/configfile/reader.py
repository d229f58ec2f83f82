"""YAML in: files whose every value remembers its file, line and column; the only door to the yaml library.

What is read differs from YAML where YAML surprises: a number is plain decimal (`010`, `0x10` and `12:30` are text, `1e3` is a number), a
boolean is `true` or `false` alone, a repeated key is a fault, tags are refused. `${NAME}` is the environment variable NAME
(`$${NAME}` the text itself). A mapping may hold `include: path` (or a list of paths): keys of those files lie underneath its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from accelsim.configfile.faults import PLACES, explain
from accelsim.configfile.located import KINDS, Fault, Keys, Place, Source, Value, assigned, judge, merged
from accelsim.errors import ConfigError, RefusalError, choices, nearest, quoted
from accelsim.units import WRITTEN

Model = TypeVar("Model", bound=BaseModel)

MAX_BYTES = 256 * 1024
"""Largest file that is read."""
MAX_VALUES = 50_000
"""Most values of a file after aliases are expanded, and of all its includes."""
MAX_DEPTH = 40

_VARIABLE = re.compile(r"(\$?)\$\{([^}]*)\}")


def load(
    path: str | Path, model: type[Model], root: str, overrides: Sequence[str] = (), embedded: Mapping[str, str] = MappingProxyType({})
) -> Model:
    """Read one file into a frozen model.

    `root`: the only key at the top of the file, which says what kind of file it is. `overrides`: texts `dotted.path=value`, the path with
    or without the root key. `embedded`: dotted paths below the root (`*` for any list index) where the path of another file may stand for
    its content, each with that file's root key.
    Raises:  `ConfigError` with every fault of the file, in order of place
    """
    reader = _Reader()
    try:
        tree = reader.embed(reader.below_root(reader.file(Path(path), os.path.normpath(path), None, ()), root), embedded)
        for override in sorted(map(_Override, overrides), key=_Override.order):
            tree = reader.embed(reader.assign(tree, root, override), embedded)
    except _UnreadableError as unreadable:
        reader.faults.append(unreadable.fault)
        raise reader.error() from None
    try:
        made = model.model_validate(tree.plain(), context={WRITTEN: True, PLACES: tree.places(root)})
    except ValidationError as error:
        reader.faults += [fault for fault in explain(error, model, tree, root) if fault.place not in reader.blamed]
        raise reader.error() from None
    if reader.faults:
        raise reader.error()
    return made


def root_key(path: str | Path) -> str:
    """The key at the top of a YAML file, which says what kind of file it is. Raises `ConfigError` where there is not exactly one."""
    reader = _Reader()
    try:
        tree = reader.file(Path(path), os.path.normpath(path), None, ())
    except _UnreadableError as unreadable:
        raise ConfigError(str(unreadable.fault)) from None
    keys = list(tree.mapping or ())
    if len(keys) != 1:
        text = f"one key is expected at the top, here {'are ' + ', '.join(keys) if keys else 'is none'}"
        raise ConfigError(str(Fault(tree.place, "", text, ["write for example 'accelerator:' and indent the rest below it"])))
    return keys[0]


def dump(data: Any) -> str:
    """Write plain data as YAML that `load` reads back as the same data."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `judge` or `${}` would read as something else."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    quotes = '"' if not text.isprintable() else None if judge(text) == text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text.replace("${", "$${"), style=quotes)


_Dumper.add_representer(str, _represent_text)


class _Loader(yaml.SafeLoader):
    """Composes nodes and refuses what no configuration needs: tags and deep nesting."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no types
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, f"tags such as {event.tag.replace('tag:yaml.org,2002:', '!!')!r} are not read", event.start_mark
            )
        if self.depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Override:
    """One `dotted.path=value` of the command line."""

    def __init__(self, text: str) -> None:
        path, self.equals, self.value = text.partition("=")
        self.path = path.strip()
        self.keys = self.path.split(".")
        self.source = Source(f"--set {self.path or text}", Path())

    def order(self) -> tuple[int, bool]:
        """Parents before children, and the key that names a kind before the keys which that kind has."""
        return (len(self.keys), self.keys[-1] not in KINDS)


class _Reader:
    """Reads one file with all it includes, and collects the faults."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.blamed: set[Place] = set()
        self.values = 0

    def fault(self, place: Place, keys: Keys, text: str, *remedy: str) -> None:
        """Note a fault and go on; what else is wrong at its place follows from it."""
        self.note(Fault(place, ".".join(map(str, keys)), text, remedy), place)

    def note(self, fault: Fault, place: Place) -> None:
        """Note a fault, and a place that is unsound because of it."""
        self.faults.append(fault)
        self.blamed.add(place)

    def error(self) -> ConfigError:
        """All faults in order of place."""
        places = [(fault.place.source.name, fault.place.line, fault.place.column) for fault in self.faults]
        order = sorted(range(len(places)), key=places.__getitem__)
        # a file that is used twice has the same faults twice
        return ConfigError(*dict.fromkeys(str(self.faults[index]) for index in order))

    def file(self, path: Path, shown: str, wanted_by: Place | None, chain: tuple[Place, ...], keys: Keys = ()) -> Value:
        """Read a file, its includes merged in. `wanted_by`: where its name was written; `chain`: the includes that led there.

        Raises:  `_UnreadableError` where there is nothing to validate
        """
        name = Source(shown, Path(shown).parent)
        text = self._text(path, name, wanted_by, chain)
        return self._parse(text, replace(name, lines=tuple(re.split(r"\r\n|\r|\n", text))), chain, keys)

    def _text(self, path: Path, name: Source, wanted_by: Place | None, chain: tuple[Place, ...]) -> str:
        place = wanted_by or Place(name)
        remedy = [f"included from {link.short}" for link in reversed(chain[:-1])]
        try:
            if path.exists() and not path.is_file():  # a pipe or a device would block or never end
                raise OSError(0, "not a regular file")
            with path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                text = f"no such file: {name.name}" if wanted_by else "no such file"
                siblings = [str(sibling.relative_to(path.parent)) for sibling in sorted(path.parent.glob("*.yaml"))]
                near = nearest(path.name, siblings)
                remedy = ([f"Did you mean '{Path(name.name).with_name(near)}'?"] if near else []) + remedy
            else:
                text = f"cannot be read: {name.name if wanted_by else ''} {(error.strerror or 'fault').lower()}".replace("  ", " ")
            raise _UnreadableError(Fault(place, "", text, remedy)) from None
        if len(raw) > MAX_BYTES:
            raise _UnreadableError(Fault(Place(name), "", f"larger than {MAX_BYTES:,} bytes, which no configuration is"))
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            fault = f"byte 0x{raw[error.start]:02x} in line {line} is not UTF-8"
            raise _UnreadableError(Fault(Place(name), "", fault, ["save the file as UTF-8"])) from None

    def _parse(self, text: str, source: Source, chain: tuple[Place, ...], keys: Keys) -> Value:
        try:
            node = _Loader(text).get_single_node()
        except yaml.MarkedYAMLError as error:
            raise _UnreadableError(_syntax_fault(error, source)) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
            fault = f"control character {error.character if isinstance(error.character, int) else ord(error.character):#04x}"
            raise _UnreadableError(Fault(Place(source, line, column), "", fault, ["remove it"])) from None
        if node is None:
            return Value(None, Place(source, 1, 1))
        return self._value(node, source, chain, keys)

    def _value(self, node: yaml.Node, source: Source, chain: tuple[Place, ...], keys: Keys) -> Value:
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if end.line == start.line else len(source.lines[start.line]) - start.column if source.lines else 1
        place = Place(source, start.line + 1, start.column + 1, max(1, width))
        self.values += 1
        if self.values > MAX_VALUES or len(keys) > MAX_DEPTH:
            reason = f"more than {MAX_VALUES:,} values" if self.values > MAX_VALUES else f"nested deeper than {MAX_DEPTH} levels"
            raise _UnreadableError(Fault(place, "", reason, ["aliases (*name) and includes are counted each time they are used"]))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, replace(place, width=1), chain, keys)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self._value(item, source, chain, (*keys, index)) for index, item in enumerate(node.value))
            return Value(items, replace(place, width=1))
        text = self._expand(node.value, place, keys)
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return Value(judge(text) if plain else text, place, text)

    def _expand(self, text: str, place: Place, keys: Keys) -> str:
        """Put environment variables in."""

        def variable(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return match[0][1:]
            if name not in os.environ:
                self.fault(place, keys, f"environment variable {quoted(name)} is not set", f"set it first, for example: export {name}=...")
                return match[0]
            return os.environ[name]

        return _VARIABLE.sub(variable, text)

    def _mapping(self, node: yaml.MappingNode, place: Place, chain: tuple[Place, ...], keys: Keys) -> Value:
        content: dict[str, Value] = {}
        places: dict[str, Place] = {}
        underneath: list[Value] = []
        for key_node, value_node in node.value:
            start = key_node.start_mark
            if not isinstance(key_node, yaml.ScalarNode):
                self.fault(Place(place.source, start.line + 1, start.column + 1), keys, "a key must be a plain word")
                continue
            key = key_node.value
            key_place = Place(place.source, start.line + 1, start.column + 1, max(1, key_node.end_mark.column - start.column))
            if key in content:
                self.fault(
                    key_place, keys, f"duplicate key {quoted(key)}", f"first written in line {places[key].line}; keep one of the two"
                )
                continue
            value = self._value(value_node, place.source, chain, keys if key == "<<" else (*keys, key))
            if key == "<<" and key_node.style is None:
                for alias in reversed(value.items) if value.items is not None else (value,):
                    if alias.mapping is None:
                        self.fault(key_place, keys, "'<<' takes an alias of a mapping", "write <<: *name")
                    else:
                        underneath.append(alias)
                continue
            content[key], places[key] = value, key_place
        written = Value(content, place, keys=places)
        include = content.pop("include", None)
        if include is not None:
            underneath += self._included(include, chain, keys)
        result: Value | None = None
        for value in underneath:
            result = value if result is None else merged(result, value)
        return written if result is None else merged(result, written)

    def _included(self, include: Value, chain: tuple[Place, ...], keys: Keys) -> list[Value]:
        found = []
        for link in include.items if include.items is not None else (include,):
            if not isinstance(link.content, str):
                self.fault(link.place, (*keys, "include"), f"{link.shown()} is not the path of a file")
                continue
            path = link.place.source.folder / link.content
            shown = os.path.normpath(path)
            names = [*(str(place.source.name) for place in chain), link.place.source.name]
            if any(Path(shown).resolve() == Path(name).resolve() for name in names):
                raise _UnreadableError(
                    Fault(link.place, ".".join(map(str, (*keys, "include"))), "a file includes itself", [" -> ".join([*names, shown])])
                )
            value = self.file(path, shown, link.place, (*chain, link.place))
            if keys and value.mapping is not None and list(value.mapping) == [keys[-1]]:
                value = value.mapping[str(keys[-1])]  # a whole file `accelerator: ...` included below the key `accelerator`
            if value.mapping is None:
                self.fault(link.place, (*keys, "include"), f"{shown} holds {value.shown()}, not keys and values")
                continue
            found.append(value)
        return found

    def below_root(self, tree: Value, root: str) -> Value:
        """The value under the root key. Raises `_UnreadableError` where the file is of another kind."""
        keys = tree.mapping or {}
        if root in keys:
            for key in keys:
                if key != root:
                    self.fault(tree.keys[key], (), f"unknown key {quoted(key)} beside {root!r}", choices([root], key))
            return replace(keys[root], place=tree.keys[root]) if keys[root].mapping is not None else keys[root]
        place, remedy = tree.place, f"begin the file with '{root}:' and indent the rest below it"
        if tree.content is None:
            text = "the file is empty"
        elif tree.mapping is None:
            text = f"{tree.shown()} stands where the key {root!r} is expected"
        elif len(keys) == 1:
            (key,) = keys
            place, guess = tree.keys[key], nearest(key, [root])
            text = f"unknown key {quoted(key)}" if guess else f"a file of kind {quoted(key)}, where kind {root!r} is wanted"
            remedy = f"Did you mean {root!r}?" if guess else f"a file of this kind begins with '{root}:'"
        else:
            text = f"the key {root!r} is missing at the top"
        raise _UnreadableError(Fault(place, "", text, [remedy]))

    def embed(self, tree: Value, embedded: Mapping[str, str]) -> Value:
        """Replace the paths of files by their content, where that is allowed."""
        for pattern, root in embedded.items():
            tree = self._embed(tree, tuple(pattern.split(".")), root)
        return tree

    def _embed(self, value: Value, pattern: tuple[str, ...], root: str) -> Value:
        if not pattern:
            if not isinstance(value.content, str):
                return value
            path = value.place.source.folder / value.content
            try:
                inner = self.below_root(self.file(path, os.path.normpath(path), value.place, (value.place,)), root)
            except _UnreadableError as unreadable:
                self.note(unreadable.fault, value.place)
                return value
            return replace(inner, name=root)
        if pattern[0] == "*" and value.items is not None:
            return replace(value, content=tuple(self._embed(item, pattern[1:], root) for item in value.items))
        child = value.child(pattern[0])
        return value if child is None else value.with_child(pattern[0], self._embed(child, pattern[1:], root), value.keys[pattern[0]])

    def assign(self, tree: Value, root: str, override: _Override) -> Value:
        """The tree with one value set from the command line."""
        place = Place(override.source)
        if not override.equals or not all(override.keys):
            raise _UnreadableError(Fault(place, "", "not an assignment", [f"write --set {root}.key=value"]))
        keys = override.keys[1:] if override.keys[0] == root and len(override.keys) > 1 else override.keys
        try:
            value = self._parse(override.value.strip(), override.source, (), tuple(override.keys))
            return assigned(tree, keys, value, place)
        except _UnreadableError as unreadable:
            raise _UnreadableError(replace(unreadable.fault, place=place)) from None
        except RefusalError as refusal:
            raise _UnreadableError(Fault(place, "", refusal.fault, refusal.remedy)) from None


class _UnreadableError(Exception):
    """A fault that ends the reading of a file."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _syntax_fault(error: yaml.MarkedYAMLError, source: Source) -> Fault:
    """Say in plain words what the parser stumbled over."""
    mark, start = error.problem_mark or error.context_mark, error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    problem = " ".join((error.problem or "cannot be read").split())
    remedy = []
    for number in range(min(line + 1, len(source.lines))):
        indent = re.match(r" *\t", source.lines[number])
        if indent and source.lines[number].strip():
            return Fault(Place(source, number + 1, indent.end()), "", "a tab indents this line", ["indent with spaces"])
    if r"'\t'" in problem:
        problem, remedy = "a tab stands here", ["write a space instead"]
    elif "mapping values are not allowed" in problem:
        problem, remedy = "a ':' that cannot stand here", ["check the indentation, or put the text in quotes"]
    elif "could not find expected ':'" in problem:
        problem, remedy = "a line without ':'", ["write key: value"]
    elif "another document" in problem:
        problem, remedy = "a second document begins here", ["keep one document ('---') a file"]
    elif start and (
        ("end of stream" in problem and "quoted" in str(error.context)) or ("<stream end>" in problem and "flow" in str(error.context))
    ):
        line, column = start.line, start.column
        problem = f"this {'quote' if 'quoted' in str(error.context) else 'bracket'} is never closed"
    elif "undefined alias" in problem:
        problem = problem.replace("found undefined alias", "no anchor (&name) for the alias")
    elif "flow mapping" in str(error.context) and "${" in source.lines[line]:
        problem, remedy = "a '{' inside braces", ["put ${NAME} in quotes here"]
    elif "<block end>" in problem or "expected ',' or" in problem:
        problem = f"{error.context or 'the text'} cannot go on like this ({problem})"
        remedy = ["check indentation, brackets and quotes"]
    return Fault(Place(source, line + 1, column + 1), "", problem, remedy)
