"""Axes: which paths a sweep may change, and what values come of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_sweep_samples import DATA_SWEEP, SPARSITY, furnish_data
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from accelsim.designspace import sweepfile
from accelsim.designspace.axis import DATA, AxisPath, Range
from accelsim.designspace.sweepspace import Space, settings, shown_value
from accelsim.errors import ConfigError

PATHS = TypeAdapter(AxisPath)


@pytest.mark.parametrize("path", ["accelerator", "accelerator.buffer.size", "scheme.zvc.layout", "engine", "network", SPARSITY, *DATA])
def test_every_root_has_its_form(path: str) -> None:
    assert PATHS.validate_python(path) == path


@pytest.mark.parametrize(
    "path", ["", "buffer.size", "scheme", "scheme.zvc", "scheme.a.b.c", "engine.x", "mode.x", "accelerator.", "network..a"]
)
def test_other_paths_are_refused_with_what_to_write(path: str) -> None:
    with pytest.raises(ValidationError, match="is no path of a key"):
        PATHS.validate_python(path)


@given(first=st.integers(1, 10**6), factor=st.integers(1, 1000), steps=st.integers(2, 50), scale=st.sampled_from(["linear", "log"]))
def test_ranges_hold_their_ends_and_rise(first: int, factor: int, steps: int, scale: str) -> None:
    values = Range.model_validate({"from": first, "to": first * factor, "steps": steps, "scale": scale}).values()
    assert values[0] == first
    assert values[-1] == first * factor
    assert list(values) == sorted(set(values))
    assert len(values) <= steps


def test_values_are_shown_in_few_words() -> None:
    shown = [shown_value(value) for value in (None, True, 3, "a/edge.yaml", {"sparsity": 0.5, "unit": None}, {"a": [1]}, [1, 2])]
    assert shown == ["none", "true", 3, "edge", "sparsity=0.5, unit=none", '{"a": [1]}', "[1, 2]"]


VALUES = {
    "epsilon": [0, 0.1, 0.5],
    SPARSITY: [0.25, 0.5],
    "mode": ["channel", "element"],
    "accelerator.link.bytes_per_cycle": [4, 8, 16],
    "accelerator.buffer.size": ["8 KiB", "16 KiB"],
}


@given(order=st.permutations(list(VALUES)), count=st.integers(1, len(VALUES)), data=st.data())
def test_every_combination_is_there_once_with_its_values_in_place(tmp_path_factory, order, count, data):
    chosen = {path: VALUES[path][: data.draw(st.integers(1, len(VALUES[path])))] for path in order[:count]}
    folder = tmp_path_factory.mktemp("sweep")
    furnish_data(folder)
    axes = DATA_SWEEP[DATA_SWEEP.index("  axes:") : DATA_SWEEP.index("  accuracy:")]
    text = "  axes:\n" + "".join(f"    {path}: {values}\n" for path, values in chosen.items())
    (folder / "sweep.yaml").write_text(DATA_SWEEP.replace(axes, text))
    sweep = sweepfile.load(folder / "sweep.yaml")
    found = settings(sweep)
    assert len(found) == Space(sweep).size == len({tuple(one.values.items()) for one in found})
    data_paths = [path for path in chosen if path.partition(".")[0] in DATA]
    assert (
        len({id(one.jobs) for one in found})
        == len({tuple(one.values[path] for path in data_paths) for one in found})
        == Space(sweep).data_size
    )
    for one in found:
        (job,) = one.jobs
        assert isinstance(job, sweepfile.SweepInferenceJob)
        assert job.epsilon == one.values.get("epsilon", 0)
        assert job.mode == one.values.get("mode", "channel")
        assert (None if job.network.prune is None else job.network.prune.sparsity) == one.values.get(SPARSITY)
        link = one.machine.accelerator.link
        assert getattr(link, "bytes_per_cycle") == one.values.get("accelerator.link.bytes_per_cycle", 16)  # noqa: B009 - of a bus


def test_an_empty_value_reaches_the_machine_and_is_judged_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish_data(tmp_path)
    text = DATA_SWEEP.replace("accelerator.link.bytes_per_cycle: [4, 16]", "accelerator.clock: [null]")
    Path("sweep.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"sweep\.yaml:8: accelerator.clock: a frequency is expected here"):
        settings(sweepfile.load("sweep.yaml"))
