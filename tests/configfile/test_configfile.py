"""YAML in: places, surprises, includes, variables, overrides, and what every fault says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from accelsim import configfile
from accelsim.configfile import dump, load, root_key
from accelsim.configfile.located import judge
from accelsim.errors import ConfigError
from accelsim.units import Bytes

Write = Callable[..., str]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Array(Part):
    rows: Annotated[int, Field(ge=1)] = 1
    cols: Annotated[int, Field(ge=1)] = 1


class Bus(Part):
    kind: Literal["bus"]
    width: int = 16


class Pcie(Part):
    kind: Literal["pcie"]
    lanes: int = 8


class Box(Part):
    name: str = "box"
    size: Bytes = 64
    ratio: float = 0.5
    on: bool = False
    array: Array = Array()
    link: Annotated[Bus | Pcie, Field(discriminator="kind")] = Bus(kind="bus")
    list: tuple[int, ...] = ()
    either: int | tuple[int, int] = 1
    inner: Array | None = None


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file into an empty current folder; places in messages are then bare file names."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "box.yaml") -> str:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


def fault(path: str, *overrides: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        load(path, Box, "box", overrides, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16),
        ("-3", -3),
        ("1e3", 1000.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("true", True),
        ("false", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("010", "010"),
        ("0x10", "0x10"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("off", "off"),
        ("True", "True"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("2026-01-01", "2026-01-01"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_unquoted_text_means_what_it_looks_like(text: str, value: object) -> None:
    assert judge(text) == value
    assert type(judge(text)) is type(value)


def test_a_sound_file_becomes_a_frozen_model(write: Write) -> None:
    path = write("box:\n  name: '16'\n  size: 64 KiB\n  ratio: 1e-3\n  on: true\n  array: {rows: 2}\n  list: [1, 2]\n")
    assert load(path, Box, "box") == Box(name="16", size=65536, ratio=0.001, on=True, array=Array(rows=2), list=(1, 2))


def test_an_unknown_key_is_shown_with_what_is_allowed_and_a_guess(write: Write) -> None:
    path = write("box:\n  array:\n    rows: 2\n    colums: 16\n", "configs/edge.yaml")
    assert (
        fault(path)
        == """\
configs/edge.yaml:4:5: box.array: unknown key 'colums'
      4 |     colums: 16
        |     ^^^^^^
    allowed: rows, cols.  Did you mean 'cols'?"""
    )


def test_a_repeated_key_is_a_fault(write: Write) -> None:
    path = write("box:\n  size: 1 KiB\n  name: a\n  size: 2 KiB\n")
    assert (
        fault(path)
        == """\
box.yaml:4:3: box: duplicate key 'size'
      4 |   size: 2 KiB
        |   ^^^^
    first written in line 2; keep one of the two"""
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("64KB", "'64KB' can mean two sizes|write '64 KiB' (65,536 bytes) or '64 kB' (64,000 bytes)"),
        ("64 MHz", "'64 MHz' is a frequency, not a size|allowed units: B, kB, KiB, MB, MiB, GB, GiB"),
        ("64", "64 has no unit|write 64 KiB or 64 B"),
    ],
)
def test_a_size_needs_a_unit_of_its_own(write: Write, written: str, said: str) -> None:
    text, remedy = said.split("|")
    carets = "^" * len(written)
    assert (
        fault(write(f"box:\n  size: {written}\n"))
        == f"""\
box.yaml:2:9: box.size: {text}
      2 |   size: {written}
        |         {carets}
    {remedy}"""
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("rows: 0", "box.array.rows: 0 is too small|allowed: 1 or more"),
        ("rows: 010", "box.array.rows: '010' is not a whole number|write 10, plain digits without quotes"),
        ("rows: '16'", "box.array.rows: '16' is not a whole number|write 16, without quotes"),
        ("rows: 1e3", "box.array.rows: 1e3 is not a whole number|write 1000"),
        ("rows: 0x10", "box.array.rows: '0x10' is not a whole number|write 16"),
        ("rows: [1]", "box.array.rows: a list is not a whole number"),
    ],
)
def test_a_number_that_is_none_is_shown_as_written(write: Write, written: str, said: str) -> None:
    text, *remedy = said.split("|")
    message = fault(write(f"box:\n  array:\n    {written}\n"))
    lines = message.split("\n")
    assert lines[0] == f"box.yaml:3:11: {text}"
    assert lines[3:] == [f"    {line}" for line in remedy]


def test_yes_is_no_boolean(write: Write) -> None:
    assert fault(write("box:\n  on: yes\n")).split("\n")[-1] == "    allowed: true, false.  Did you mean 'true'?"


def test_a_key_without_value_is_shown_at_the_key(write: Write) -> None:
    assert (
        fault(write("box:\n  array:\n    rows:\n"))
        == """\
box.yaml:3:5: box.array.rows: a value is missing
      3 |     rows:
        |     ^^^^
    needed: a whole number"""
    )


def test_a_wrong_kind_names_the_kinds(write: Write) -> None:
    assert (
        fault(write("box:\n  link:\n    kind: pci\n"))
        == """\
box.yaml:3:11: box.link.kind: 'pci' is not a known kind
      3 |     kind: pci
        |           ^^^
    allowed: bus, pcie.  Did you mean 'pcie'?"""
    )


def test_a_mapping_without_its_kind_says_which_there_are(write: Write) -> None:
    assert (
        fault(write("box:\n  link:\n    width: 8\n"))
        == """\
box.yaml:2:3: box.link: missing key 'kind'
      2 |   link:
        |   ^^^^
    allowed: bus, pcie"""
    )


def test_a_key_of_another_kind_is_told_where_it_belongs(write: Write) -> None:
    assert fault(write("box:\n  link:\n    kind: bus\n    lanes: 8\n")).endswith("allowed: kind, width\n    'lanes' belongs to kind: pcie")


def test_a_union_without_kinds_says_all_that_would_fit(write: Write) -> None:
    assert fault(write("box:\n  either: big\n")).startswith("box.yaml:2:11: box.either: 'big' is not a whole number or a list")
    assert fault(write("box:\n  either: [1, x]\n")).startswith("box.yaml:2:15: box.either.1: 'x' is not a whole number")


def test_all_faults_of_a_file_come_together_in_order_of_place(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    path = write("box:\n  on: 1\n  list: [1, x]\n  nam: a\n  array: 3\n  size: ${NOWHERE}\n  ratio: fast\n  on: true\n  link: {kind: x}\n")
    with pytest.raises(ConfigError) as raised:
        load(path, Box, "box")
    assert [text.split("\n")[0] for text in raised.value.faults] == [
        "box.yaml:2:7: box.on: 1 is not true or false",
        "box.yaml:3:13: box.list.1: 'x' is not a whole number",
        "box.yaml:4:3: box: unknown key 'nam'",
        "box.yaml:5:10: box.array: 3 is not a mapping",
        "box.yaml:6:9: box.size: environment variable 'NOWHERE' is not set",
        "box.yaml:7:10: box.ratio: 'fast' is not a number",
        "box.yaml:8:3: box: duplicate key 'on'",
        "box.yaml:9:16: box.link.kind: 'x' is not a known kind",
    ]


def test_no_message_speaks_of_pydantic(write: Write) -> None:
    message = fault(write("box:\n  link: {}\n  either: {}\n  array: []\n  list: 3\n  inner: 4\n  name: 5\n  size: []\n"))
    for word in ("pydantic", "union_tag", "Input should", "valid dictionary", "type=", "int_type"):
        assert word not in message


# Includes.


def test_an_included_file_lies_underneath(write: Write) -> None:
    write("box:\n  name: base\n  array: {rows: 2, cols: 3}\n", "shared/base.yaml")
    path = write("box:\n  include: ../shared/base.yaml\n  array: {rows: 7}\n", "runs/box.yaml")
    assert load(path, Box, "box") == Box(name="base", array=Array(rows=7, cols=3))


def test_of_several_includes_the_later_wins_and_they_may_stand_at_the_top(write: Write) -> None:
    write("box: {name: one, ratio: 0.1}\n", "one.yaml")
    write("box: {name: two}\n", "two.yaml")
    assert load(write("include: [one.yaml, two.yaml]\nbox: {}\n"), Box, "box") == Box(name="two", ratio=0.1)


def test_a_fragment_may_be_included_below_any_key(write: Write) -> None:
    write("rows: 4\n", "rows.yaml")
    assert load(write("box:\n  array: {include: rows.yaml, cols: 5}\n"), Box, "box").array == Array(rows=4, cols=5)


def test_another_kind_replaces_an_included_part(write: Write) -> None:
    write("box: {link: {kind: bus, width: 8}}\n", "base.yaml")
    assert load(write("box:\n  include: base.yaml\n  link: {kind: pcie}\n"), Box, "box").link == Pcie(kind="pcie")


def test_a_fault_in_an_included_file_is_shown_there(write: Write) -> None:
    write("box:\n  array:\n    rows: 0\n", "base.yaml")
    assert fault(write("box:\n  include: base.yaml\n")).startswith("base.yaml:3:11: box.array.rows: 0 is too small")


def test_a_circle_of_includes_is_refused_with_the_chain(write: Write) -> None:
    write("box:\n  include: two.yaml\n", "one.yaml")
    write("box:\n  include: one.yaml\n", "two.yaml")
    assert (
        fault("one.yaml")
        == """\
two.yaml:2:12: box.include: a file includes itself
      2 |   include: one.yaml
        |            ^^^^^^^^
    one.yaml -> two.yaml -> one.yaml"""
    )


def test_a_missing_include_is_refused_with_the_way_that_led_there(write: Write) -> None:
    write("box:\n  include: bse.yaml\n", "two.yaml")
    write("box: {}\n", "base.yaml")
    write("box:\n  include: two.yaml\n", "one.yaml")
    assert (
        fault("one.yaml")
        == """\
two.yaml:2:12: no such file: bse.yaml
      2 |   include: bse.yaml
        |            ^^^^^^^^
    Did you mean 'base.yaml'?
    included from one.yaml:2"""
    )


def test_the_path_of_a_file_may_stand_for_its_content(write: Write) -> None:
    write("array:\n  rows: 3\n", "part.yaml")
    path = write("box:\n  inner: part.yaml\n")
    embedded = {"inner": "array"}
    assert load(path, Box, "box", embedded=embedded).inner == Array(rows=3)
    assert load(path, Box, "box", ["inner.cols=4"], embedded=embedded).inner == Array(rows=3, cols=4)
    write("array:\n  rows: x\n", "part.yaml")
    assert fault(path, embedded=embedded).startswith("part.yaml:2:9: array.rows: 'x' is not a whole number")
    write("aray: {}\n", "part.yaml")
    assert fault(path, embedded=embedded).split("\n")[0] == "part.yaml:1:1: unknown key 'aray'"


def test_yaml_aliases_and_merge_keys_work(write: Write) -> None:
    path = write("box:\n  array: &a {rows: 2, cols: 3}\n  inner: {<<: *a, cols: 4}\n")
    assert load(path, Box, "box").inner == Array(rows=2, cols=4)


# Environment variables.


def test_variables_are_put_into_texts_and_numbers(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE_OF_IT", "64")
    path = write("box:\n  name: a${SIZE_OF_IT}-$${SIZE_OF_IT}\n  size: ${SIZE_OF_IT} KiB\n  array: {rows: '1'}\n")
    message = fault(path)  # quotes keep a text a text, also when a variable made it
    assert message.split("\n")[0] == "box.yaml:4:17: box.array.rows: '1' is not a whole number"
    box = load(path, Box, "box", ["array.rows=${SIZE_OF_IT}"])
    assert (box.name, box.size, box.array.rows) == ("a64-${SIZE_OF_IT}", 65536, 64)


def test_an_unset_variable_is_named_with_how_to_set_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_THING", raising=False)
    assert (
        fault(write("box:\n  name: ${NO_SUCH_THING}/x\n"))
        == """\
box.yaml:2:9: box.name: environment variable 'NO_SUCH_THING' is not set
      2 |   name: ${NO_SUCH_THING}/x
        |         ^^^^^^^^^^^^^^^^^^
    set it first, for example: export NO_SUCH_THING=..."""
    )


# Overrides.


def test_overrides_set_values_by_dotted_path_with_or_without_the_root(write: Write) -> None:
    path = write("box:\n  list: [1, 2]\n")
    box = load(path, Box, "box", ["box.size=128 KiB", "array.rows=3", "list.1=7", "inner={rows: 2}", "inner.cols=9"])
    assert box == Box(size=131072, array=Array(rows=3), list=(1, 7), inner=Array(rows=2, cols=9))


def test_an_override_of_the_kind_replaces_the_part_whatever_the_order(write: Write) -> None:
    path = write("box:\n  link: {kind: bus, width: 8}\n")
    assert load(path, Box, "box", ["link.lanes=4", "link.kind=pcie"]).link == Pcie(kind="pcie", lanes=4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("box.size=64KB", "--set box.size: '64KB' can mean two sizes\n    write '64 KiB' (65,536 bytes) or '64 kB' (64,000 bytes)"),
        ("size=64", "--set size: 64 has no unit\n    write 64 KiB or 64 B"),
        ("array.colums=1", "--set array.colums: box.array: unknown key 'colums'\n    allowed: rows, cols.  Did you mean 'cols'?"),
        ("list.2=1", "--set list.2: '2' is not the index of a list item\n    allowed: 0 to 1"),
        ("name.x=1", "--set name.x: 'x' cannot be set below 'a', which is no mapping (box.yaml:2)"),
        ("size", "--set size: not an assignment\n    write --set box.key=value"),
        ("list=[1", "--set list: this bracket is never closed"),
    ],
)
def test_a_faulty_override_is_named_as_the_place(write: Write, override: str, message: str) -> None:
    assert fault(write("box:\n  name: a\n  list: [1, 2]\n"), override) == message


# Files that are no configuration.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "box.yaml:1:1: the file is empty\n    begin the file with 'box:' and indent the rest below it"),
        (
            "# nothing\n",
            "box.yaml:1:1: the file is empty\n      1 | # nothing\n        | ^\n"
            "    begin the file with 'box:' and indent the rest below it",
        ),
        (
            "- a\n",
            "box.yaml:1:1: a list stands where the key 'box' is expected\n      1 | - a\n        | ^\n"
            "    begin the file with 'box:' and indent the rest below it",
        ),
        (
            "run:\n  name: x\n",
            "box.yaml:1:1: a file of kind 'run', where kind 'box' is wanted\n      1 | run:\n        | ^^^\n"
            "    a file of this kind begins with 'box:'",
        ),
        ("bxo:\n  name: x\n", "box.yaml:1:1: unknown key 'bxo'\n      1 | bxo:\n        | ^^^\n    Did you mean 'box'?"),
        ("box:\n\tname: x\n", "box.yaml:2:1: a tab indents this line\n      2 |  name: x\n        | ^\n    indent with spaces"),
        ("box:\n  name:\tx\n", "box.yaml:2:8: a tab stands here\n      2 |   name: x\n        |        ^\n    write a space instead"),
        ("box: [1, 2\n", "box.yaml:1:6: this bracket is never closed\n      1 | box: [1, 2\n        |      ^"),
        (
            "box: {name: ${A}}\n",
            "box.yaml:1:14: a '{' inside braces\n      1 | box: {name: ${A}}\n        |              ^\n    put ${NAME} in quotes here",
        ),
        ("box: 'a\n", "box.yaml:1:6: this quote is never closed\n      1 | box: 'a\n        |      ^"),
        ("box: !!str a\n", "box.yaml:1:6: tags such as '!!str' are not read\n      1 | box: !!str a\n        |      ^"),
        (b"box:\n  name: \xff\n", "box.yaml: byte 0xff in line 2 is not UTF-8\n    save the file as UTF-8"),
        (b"box: a\x01b\n", "box.yaml:1:7: control character 0x01\n      1 | box: a b\n        |       ^\n    remove it"),
        (
            "box: {}\n---\nbox: {}\n",
            "box.yaml:2:1: a second document begins here\n      2 | ---\n        | ^\n    keep one document ('---') a file",
        ),
    ],
)
def test_what_cannot_be_read_is_said_in_plain_words(write: Write, text: str | bytes, message: str) -> None:
    assert fault(write(text)) == message


def test_a_missing_file_is_named_with_the_nearest_other(write: Write) -> None:
    write("box: {}\n", "configs/edge.yaml")
    assert fault("configs/edgy.yaml") == "configs/edgy.yaml: no such file\n    Did you mean 'configs/edge.yaml'?"


def test_a_folder_is_no_file(write: Write, tmp_path: Path) -> None:
    assert fault(str(tmp_path)) == f"{tmp_path}: cannot be read: not a regular file"


def test_a_python_object_is_not_made(write: Write) -> None:
    path = write("box:\n  name: !!python/object/apply:os.mkdir [made]\n")
    assert "tags such as '!!python/object/apply:os.mkdir' are not read" in fault(path)
    assert not Path("made").exists()


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
        "a: &a {k: 1}\n"
        + "".join(
            f"{new}: &{new} {{x: *{old}, y: *{old}, z: *{old}, <<: *{old}}}\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
        ),
        "box: &a [*a]\n",
        "box: " + "[" * 5000,
        "box: " + "x" * configfile.MAX_BYTES,
    ],
    ids=["aliases", "merges", "recursion", "depth", "size"],
)
def test_a_bomb_is_refused(write: Write, bomb: str) -> None:
    assert any(word in fault(write(bomb)) for word in ("more than 50,000 values", "nested deeper than 40", "larger than 262,144 bytes"))


def test_control_characters_of_a_file_do_not_reach_the_terminal(write: Write) -> None:
    assert "\x1b" not in fault(write('box:\n  name: [1]  # \\x1b\n  size: "\\e[31m"\n'))


def test_a_long_line_is_shown_in_part(write: Write) -> None:
    message = fault(write("box: {name: " + "x" * 500 + ", array: {rows: 0}}\n"))
    snippet, carets = message.split("\n")[1:3]
    assert len(snippet) <= 110
    assert snippet[carets.index("^")] == "0"


def test_the_root_key_tells_the_kind_of_a_file(write: Write) -> None:
    assert root_key(write("box: {name: x}\n")) == "box"
    with pytest.raises(ConfigError, match="one key is expected at the top, here are a, b"):
        root_key(write("a: 1\nb: 2\n"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=6,
    )
)
def test_what_is_dumped_is_read_back_the_same(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    class Any_(Part):  # noqa: N801 - a model that takes everything
        value: object

    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(dump({"any": {"value": value}}), encoding="utf-8")

    def tuples(data: Any) -> Any:
        return tuple(map(tuples, data)) if isinstance(data, list) else data

    assert load(path, Any_, "any").value == tuples(value)
