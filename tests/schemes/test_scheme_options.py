"""Options of schemes: in one text, in YAML, and in the label that reports repeat."""

from __future__ import annotations

import textwrap

import pytest
import yaml
from jsonschema import Draft202012Validator
from machine_samples import SMALL_MACHINE
from pydantic import TypeAdapter
from scheme_samples import EVERY

from accelsim import schemes
from accelsim.errors import ConfigError, RefusalError
from accelsim.kinds import schema
from accelsim.runfile import load_run
from accelsim.schemes._written import Written

RUN = f"""\
run:
  name: quick
{textwrap.indent(SMALL_MACHINE, "  ")}  schemes: [SCHEMES]
  jobs: [{{trace: dog.npz}}]
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The schemes of a run file in which this is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog.npz").write_text("")

    def load(text):
        (tmp_path / "run.yaml").write_text(RUN.replace("SCHEMES", text))
        return load_run("run.yaml").schemes

    return load


@pytest.mark.parametrize("label", [*EVERY, "zero_block:threshold=0.1", "zero_block:threshold=conv*:0.1/0.25;fc:0.5"])
def test_a_label_reads_back_as_the_same_scheme(label):
    scheme = schemes.load(label)
    assert schemes.load(scheme.label) == scheme
    assert scheme.label == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("zero_block:width=8,height=8", "zero_block:height=8,width=8"),
        ("zero_block: height = 4 , width=8", "zero_block:width=8"),
        ("rlc:fallback=true,unit=1024", "rlc"),
    ],
)
def test_a_label_has_the_options_that_differ_from_their_defaults(text, label):
    assert schemes.load(text).label == label


@pytest.mark.parametrize("name", schemes.names())
def test_every_option_has_a_default_and_says_what_it_is(name):
    options = type(schemes.load(name).options)
    assert schemes.load(name).options == options()
    for field in options.model_fields.values():
        assert field.description
        assert not field.is_required()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "zvc:uni=3",
            "scheme 'zvc:uni=3': zvc: unknown key 'uni'\n    allowed: unit, layout, fallback, rate, latency.  Did you mean 'unit'?",
        ),
        ("zvc:unit=1e9", "scheme 'zvc:unit=1e9': zvc.unit: 1e9 is not a whole number\n    write 1000000000"),
        ("zvc:unit=0", "scheme 'zvc:unit=0': zvc.unit: 0 is too small\n    allowed: 1 or more"),
        ("zvc:", "scheme 'zvc:': '' is no option with a value\n    write for example zvc:unit=1024"),
        ("zvc:unit=1,unit=2", "scheme 'zvc:unit=1,unit=2': option 'unit' stands twice\n    write for example zvc:unit=1024"),
        ("dense:a=1", "scheme 'dense:a=1': dense: unknown key 'a'\n    allowed: none"),
        ("csr:word_indices=yes", "scheme 'csr:word_indices=yes': csr.word_indices: 'yes' is not true or false\n    allowed: true, false."),
        (
            "part_marker:parts=linear,layout=slots",
            "scheme 'part_marker:parts=linear,layout=slots': part_marker.layout: linear parts cannot lie in layout 'slots'\n"
            "    allowed: layout raster, or parts grid",
        ),
    ],
)
def test_a_fault_in_a_text_is_explained(text, message):
    with pytest.raises(ConfigError) as caught:
        schemes.load(text)
    assert str(caught.value).startswith(message)


def test_all_faults_of_a_text_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        schemes.load("zero_block:height=x,layout=no")
    assert len(caught.value.faults) == 2


def test_run_files_take_names_texts_and_mappings(written):
    found = written("dense, 'zvc:unit=64', {zero_block: {height: 8, width: 8}}, {part_marker: {parts: linear}}, {rlc: {}}")
    assert found == ("dense", "zvc:unit=64", "zero_block:height=8,width=8", "part_marker:parts=linear", "rlc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dens", "run.yaml:10:13: run.schemes.0: 'dens' is not a known scheme"),
        ("{zero_blok: {}}", "run.yaml:10:14: run.schemes.0: unknown key 'zero_blok'"),
        ("{zero_block: {heigth: 8}}", "run.yaml:10:27: run.schemes.0.zero_block: unknown key 'heigth'"),
        ("{zero_block: {height: 0}}", "run.yaml:10:35: run.schemes.0.zero_block.height: 0 is too small"),
        ("{zvc: {}, rlc: {}}", "run.yaml:10:13: run.schemes.0: 2 schemes in one item: rlc, zvc"),
        ("{}", "run.yaml:10:13: run.schemes.0: no scheme in this item"),
        ("'zvc:unit=x'", "run.yaml:10:13: run.schemes.0: zvc.unit: 'x' is not a whole number"),
        ("{zvc: {}}, 'zvc:unit=1024'", "run.yaml:10:24: run.schemes.1: 'zvc' stands twice"),
        ("{part_marker: {parts: linear, layout: slots}}", "run.yaml:10:51: run.schemes.0.part_marker.layout: linear parts cannot lie"),
    ],
)
def test_a_fault_in_a_run_file_is_found_at_its_place(written, text, message):
    with pytest.raises(ConfigError) as caught:
        written(text)
    assert str(caught.value).startswith(message)


def test_the_schema_knows_what_run_files_take(written):
    listed = "dense, 'zvc:unit=64', {zero_block: {height: 8}}, {rlc: {}}, {zero_block: {threshold: 0.5}}"
    content = yaml.safe_load(RUN.replace("SCHEMES", listed + ", {zero_block: {threshold: {conv1: 1, 'conv2*': [0.5, 0]}}}"))
    validator = Draft202012Validator(schema("run"))
    validator.validate(content)
    for wrong in (
        "dens",
        {"zero_block": {"heigth": 8}},
        {"zero_blok": {}},
        {"rlc": {"packing": "words", "unit": 0}},
        {"zero_block": {"threshold": -1}},
    ):
        content["run"]["schemes"] = [wrong]
        assert not validator.is_valid(content)


def test_thresholds_stand_in_run_files_by_layer_and_channel(written):
    found = written("{zero_block: {threshold: {'conv2*': [0.5, 0], conv1: 1}, height: 8}}, {zero_block: {threshold: 0}}")
    assert found == ("zero_block:height=8,threshold=conv2*:0.5/0;conv1:1", "zero_block")
    with pytest.raises(ConfigError, match=r"run.yaml:10:27: run.schemes.0.zero_block.threshold: -1 is no threshold\n"):
        written("{zero_block: {threshold: {conv1: -1}}}")


def test_what_is_read_is_a_label():
    assert TypeAdapter(Written).validate_python({"zero_block": {"width": 8}}) == "zero_block:width=8"


def test_what_is_assumed_or_lost_is_told():
    assert schemes.load("zvc").notes == schemes.load("zero_block").notes == ()
    assert "open loop" in schemes.load("zero_block:threshold=1").notes[0]
    assert "upper bound" in schemes.load("gemm_column").notes[0]
    assert (schemes.load("zero_block:threshold=1").lossy, schemes.load("zero_block:threshold=0").lossy) == (True, False)


def test_a_refusal_names_the_scheme():
    from accelsim.schemes._chosen import read

    with pytest.raises(RefusalError, match="'zero' is not a known scheme"):
        read("zero")
