"""Sweeps: what they span, what they keep, and that an interrupted one goes on to the same table."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sweep_samples import PATH, ROOT, SWEEP, furnish, many, start, swept, wait_for_points

import accelsim
from accelsim import simulate, sweeps, tracefile
from accelsim.designspace import sweepfile, sweeptable
from accelsim.designspace.fronts import front
from accelsim.designspace.store import FILE, Kept, Store
from accelsim.designspace.sweepspace import UNSCHEDULED, Machine, settings
from accelsim.errors import ConfigError
from accelsim.schedule import build
from accelsim.sweeps.desk import Crew, Hands
from accelsim.sweeps.tasks import simulate_task
from accelsim.workers import workers


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a machine, a trace and a sweep of 4 x 2 machines under two schemes."""
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return tmp_path


def axis(text: str) -> tuple[object, ...]:
    Path("sweep.yaml").write_text(SWEEP.replace("[4, 16]", text))
    return sweepfile.load("sweep.yaml").values("accelerator.link.bytes_per_cycle")


def refusal(old: str, new: str) -> str:
    Path("bad.yaml").write_text(SWEEP.replace(old, new))
    with pytest.raises(ConfigError) as raised:
        sweeps.forecast("bad.yaml")
    return str(raised.value)


@pytest.mark.usefixtures("house")
def test_ranges_keep_units_and_whole_numbers() -> None:
    assert axis("{from: 32 KiB, to: 4 MiB, scale: powers_of_two}") == (
        *(f"{2**n} KiB" for n in range(5, 10)),
        "1 MiB",
        "2 MiB",
        "4 MiB",
    )
    assert axis("{from: 1, to: 9, steps: 5}") == (1, 3, 5, 7, 9)
    assert axis("{from: 1, to: 100, steps: 3, scale: log}") == (1, 10, 100)
    assert axis("{from: 0.5, to: 1.0, steps: 3}") == (0.5, 0.75, 1.0)
    assert axis("{from: 6.4 GB/s, to: 12.8 GB/s, steps: 3}") == ("6.4 GB/s", "9.6 GB/s", "12.8 GB/s")


@pytest.mark.usefixtures("house")
def test_axes_are_combined_unless_they_go_in_step_and_conditions_choose() -> None:
    def spanned(more: str) -> list[tuple[object, ...]]:
        Path("sweep.yaml").write_text(SWEEP.replace("{from: 2 KiB, to: 16 KiB, scale: powers_of_two}", "[8 KiB, 16 KiB]") + more)
        return [tuple(setting.values.values()) for setting in settings(sweepfile.load("sweep.yaml"))]

    assert spanned("") == [("8 KiB", 4), ("8 KiB", 16), ("16 KiB", 4), ("16 KiB", 16)]
    assert spanned(f"  zip: [[{PATH}, accelerator.link.bytes_per_cycle]]\n") == [("8 KiB", 4), ("16 KiB", 16)]
    assert spanned("  where: ['buffer.size >= 10 KiB', 'bytes_per_cycle < 8']\n") == [("16 KiB", 4)]


@pytest.mark.usefixtures("house")
def test_every_fault_of_every_machine_is_told_at_once_with_its_line() -> None:
    text = refusal("[4, 16]", "[4, 0]\n    accelerator.bufer.size: [1 KiB]\n    accelerator.dma.burst: [100 B]")
    assert "bad.yaml:7: accelerator.link.bytes_per_cycle: 0 is too small" in text
    assert "bad.yaml:8: accelerator: unknown key 'bufer'" in text
    assert "Did you mean 'buffer'?" in text
    assert "bad.yaml:9: accelerator.dma.burst: burst 100 B is not a multiple of access 64 B" in text


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("2 KiB, to", "32 KiB, to", "to 16 KiB lies below from 32 KiB"),
        ("2 KiB, to", "2 ns, to", "from and to are not of one kind"),
        ("powers_of_two", "log", "How many values".lower()),
        ("accelerator.link", "machine.link", "'machine.link.bytes_per_cycle' is no path of a key"),
        ("  jobs", "  zip: [[a.b, accelerator.buffer.size]]\n  jobs", "'a.b' is no axis"),
        ("  jobs", f"  zip: [[{PATH}, accelerator.link.bytes_per_cycle]]\n  jobs", "need as many values"),
        ("  jobs", "  where: [size]\n  jobs", "'size' is no condition"),
        ("  jobs", "  where: ['size > 1 MiB']\n  jobs", "no point meets every condition"),
        ("[channel_marker]", "[channel_marker, channel_marker]", "'channel_marker' stands twice"),
    ],
)
def test_what_cannot_be_swept_is_refused(old: str, new: str, told: str) -> None:
    assert told.lower() in refusal(old, new).lower()


@pytest.mark.usefixtures("house")
def test_rows_stand_in_the_order_of_the_file_and_say_what_a_replay_says() -> None:
    table = swept().table
    assert list(table[PATH].unique()) == ["2 KiB", "4 KiB", "8 KiB", "16 KiB"]
    assert list(table["scheme"][:2]) == ["dense", "channel_marker"]
    row = table[(table[PATH] == "8 KiB") & (table["accelerator.link.bytes_per_cycle"] == 4) & (table["scheme"] == "channel_marker")].iloc[0]
    machine = simulate.load_accelerator("small.yaml", ["buffer.size=8 KiB", "link.bytes_per_cycle=4"])
    comparison = simulate.compare(tracefile.load("noise.npz"), machine, ["channel_marker"])
    assert row["total_cycles"] == comparison.result("channel_marker").totals["total_cycles"]
    assert row["bytes_moved_ratio"] == comparison.ratios("channel_marker")["bytes_moved"]
    assert row["energy_ratio"] == pytest.approx(comparison.ratios("channel_marker")["energy"])


@pytest.mark.usefixtures("house")
def test_a_point_is_never_simulated_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first = swept()
    assert first.simulated == 16
    before = Path("out/sweep.csv").read_bytes()
    again = swept()
    assert again.simulated == 0
    assert Path("out/sweep.csv").read_bytes() == before
    assert swept(overrides=["schemes=[channel_marker, zvc]"]).simulated == 8, "what is new, and no more"
    monkeypatch.setattr("accelsim.sweeps.points.program", lambda: "another version")
    assert swept().simulated == 16, "another program may give other numbers"


@pytest.mark.usefixtures("house")
def test_a_point_that_fails_is_a_row_with_its_error() -> None:
    Path("sweep.yaml").write_text(SWEEP.replace("from: 2 KiB", "from: 64 B"))
    outcome = swept()
    lost = outcome.table[outcome.table["error"] != ""]
    assert 0 < outcome.failed == len(lost) < len(outcome.table)
    assert lost["error"].str.contains("buffer").all()
    assert lost["bytes_moved"].isna().all()
    assert outcome.table.loc[outcome.table["error"] == "", "bytes_moved"].notna().all()
    assert swept().simulated == 0, "what failed fails again"


@pytest.mark.usefixtures("house")
def test_a_dry_run_tells_points_and_time_and_writes_nothing() -> None:
    assert sweeps.forecast("sweep.yaml").startswith("sweep tried: 16 points, 8 machines, 8 schedules; about ")
    assert not Path("out").exists()


@pytest.mark.usefixtures("house")
def test_two_sweeps_in_one_folder_are_refused() -> None:
    with Store(Path("out")), pytest.raises(ConfigError, match="another sweep is at work in this folder"):
        swept()
    assert swept().simulated == 16


def test_a_store_gives_back_what_was_added_and_refuses_what_is_none(tmp_path: Path) -> None:
    points = {"a": Kept({"x": 1, "y": 0.1}, "", 0.5), "b": Kept({}, "too small", 0.1)}
    with Store(tmp_path) as store:
        store.add(points)
    with Store(tmp_path) as store:
        assert store.read(["a", "b", "c"]) == points
    (tmp_path / FILE).write_text("this is no database, and it is long enough to be looked at" * 20)
    with pytest.raises(ConfigError, match="cannot be used"):
        Store(tmp_path)


@pytest.mark.usefixtures("house")
def test_options_of_schemes_and_kinds_of_parts_can_be_axes() -> None:
    text = SWEEP.replace("[channel_marker]", "[zero_block]").replace(
        "accelerator.link.bytes_per_cycle: [4, 16]", "scheme.zero_block.height: [2, 4]"
    )
    Path("sweep.yaml").write_text(text.replace("{from: 2 KiB, to: 16 KiB, scale: powers_of_two}", "[8 KiB]"))
    table = swept().table
    assert list(table["scheme"]) == ["dense", "zero_block", "dense", "zero_block"]
    assert table["label"][1] != table["label"][3]
    assert len(table["label"].unique()) == 3
    links = "accelerator.link: [{kind: bus, bytes_per_cycle: 8}, {kind: pcie, lanes: 4}]"
    Path("sweep.yaml").write_text(SWEEP.replace("accelerator.link.bytes_per_cycle: [4, 16]", links))
    kinds = [setting.machine.accelerator.link.kind for setting in settings(sweepfile.load("sweep.yaml"))]
    assert kinds == ["bus", "pcie"] * 4


@pytest.mark.usefixtures("house")
def test_python_gets_a_data_frame_that_the_folder_gives_back_with_a_config_that_loads() -> None:
    table = accelsim.sweep("sweep.yaml", figures=False)
    pd.testing.assert_frame_equal(table, sweeptable.read(Path("out")), check_dtype=False)
    assert accelsim.sweep is sweeps.sweep
    assert sweepfile.load("out/config.yaml").values(PATH) == sweepfile.load("sweep.yaml").values(PATH)


@pytest.mark.usefixtures("house")
def test_plot_draws_a_sweep_again_from_its_table(program: Callable[..., tuple[int, str, str]]) -> None:
    folder = swept().folder
    assert not (folder / "figures").exists()
    code, out, _ = program("plot", folder)
    assert code == 0
    written = {str(path) for path in (folder / "figures").iterdir()}
    assert written
    assert set(out.split()) == written


@pytest.mark.usefixtures("house")
def test_networks_are_inferred_once_and_a_job_may_have_its_own_schemes() -> None:
    digits = ROOT / "configs/network/digits"
    jobs = f"[{{trace: noise.npz, schemes: [zvc]}}, {{network: {digits}/network.yaml, images: ['{digits}/images/[35].png']}}]"
    Path("sweep.yaml").write_text(SWEEP.replace("[{trace: noise.npz}]", jobs).replace("from: 2 KiB", "from: 16 KiB"))
    assert re.fullmatch(
        r"sweep tried: 12 points, 2 machines, 6 schedules; before them 2 traces to infer, in about [0-9.]+ s; about [0-9.]+ s on 1 process",
        sweeps.forecast("sweep.yaml"),
    )
    assert not Path("out").exists()
    table = swept().table
    assert table.groupby("job")["image"].first().tolist() == ["noise", "3", "5"]
    assert table.groupby("job")["scheme"].unique().map(list).tolist() == [["dense", "zvc"], *[["dense", "channel_marker"]] * 2]
    seen: list[str] = []
    assert swept(progress=lambda what, done, total: seen.append(what)).simulated == 0
    assert not any("infer" in what for what in seen)
    assert len(list(Path("out/traces").iterdir())) == 2


@pytest.mark.usefixtures("house")
def test_a_sweep_that_is_killed_or_stopped_goes_on_to_the_same_table() -> None:
    many()
    driver = start()
    assert wait_for_points(driver, 30_000), driver.communicate()
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert not Path("out/sweep.csv").exists()
    resumed = swept()
    assert 0 < resumed.simulated < len(resumed.table) == 240
    whole = swept(results="whole")
    assert whole.simulated == 240
    for name in ("sweep.csv", "sweep.parquet"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.usefixtures("house")
def test_ctrl_c_leaves_a_clean_store_and_says_how_to_go_on() -> None:
    many()
    driver = start()
    assert wait_for_points(driver, 30_000), driver.communicate()
    os.killpg(driver.pid, signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "of 240 points are kept in out/points.sqlite\n    give the same command again to go on" in errors
    assert "Traceback" not in errors
    assert not Path(f"out/{FILE}-wal").exists(), "the store was closed"
    assert 0 < swept().simulated < 240


def test_the_shipped_buffer_sweep_draws_curves_that_fall_where_they_must(tmp_path: Path) -> None:
    table = accelsim.sweep(ROOT / "configs/sweep/buffer.yaml", results=tmp_path / "out", processes=1)
    assert len(table) == 8 * 3 + 8 * 2
    assert (table["error"] == "").all()
    for (job, scheme), rows in table.groupby(["job", "scheme"], sort=False):
        assert rows[PATH].tolist() == ["32 KiB", "64 KiB", "128 KiB", "256 KiB", "512 KiB", "1 MiB", "2 MiB", "4 MiB"]
        # what a dense replay wants is what the tiling was chosen by; burst rounding and skips come on top of it
        assert rows["bytes_dense"].is_monotonic_decreasing, (job, scheme)
        assert rows["area_mm2"].is_monotonic_increasing
        assert rows["bytes_dense"].iloc[0] > 1.5 * rows["bytes_dense"].iloc[-1]
    for _, rows in table.groupby(["job", PATH], sort=False):
        assert (rows["bytes_wanted"] <= rows["bytes_dense"] + rows["read_metadata_bytes"] + rows["write_metadata_bytes"]).all()
        assert (rows["bytes_saved_percent"] >= 0).all(), "the marker costs bits, and is worth more on these networks"
    for job in ("1_squeezenet_v1.1_dog", "2_mobilenet_v2_dog"):
        for kind in ("png", "svg"):
            assert (tmp_path / f"out/figures/{job}_curves.{kind}").stat().st_size > 10_000


def test_a_schedule_depends_on_no_part_that_sweeps_share_it_over() -> None:
    trace = tracefile.load(ROOT / "traces/mobilenet_v2_dog_statistics.npz")
    changes = ["name=other", "clock=100 MHz", "link={kind: pcie, lanes: 1}", "dram={kind: flat, rate: 1 MB/s, latency: 1 us}"]
    base = simulate.load_accelerator(ROOT / "configs/accelerator/ddr4.yaml")
    other = simulate.load_accelerator(ROOT / "configs/accelerator/ddr4.yaml", changes)
    other = other.model_copy(update={"energy": simulate.load_accelerator(ROOT / "configs/accelerator/eyeriss.yaml").energy})
    parts = set(base.model_dump())
    assert parts >= UNSCHEDULED
    assert all(getattr(base, part) != getattr(other, part) for part in UNSCHEDULED)
    assert all(getattr(base, part) == getattr(other, part) for part in parts - UNSCHEDULED)
    assert Machine(base).scheduled == Machine(other).scheduled
    assert Machine(base).digest != Machine(other).digest
    one, two = (build(trace, machine, "channel_marker") for machine in (base, other))
    for table in ("tiles", "blocks", "transfers", "descriptors", "layers"):
        for name, column in vars(getattr(one, table)).items():
            np.testing.assert_array_equal(column, getattr(getattr(two, table), name), err_msg=f"{table}.{name}")
    # and the shared one gives what a replay of its own gives
    assert simulate.replay_schedule(trace, one, other).totals == simulate.replay(trace, other, "channel_marker").totals


@pytest.mark.usefixtures("house")
def test_lines_tell_points_machines_and_time_before_work_and_the_rate_while_it_lasts(program: Callable[..., tuple[int, str, str]]) -> None:
    many(rates=30)
    code, out, errors = program("sweep", "sweep.yaml", "--no-figures")
    assert code == 0
    told = out.splitlines()
    assert told[0] == "sweep tried: 180 points, 90 machines, 6 schedules"
    assert re.fullmatch(r"about [0-9.]+ s on 1 process", told[1])
    assert told[2:] == ["180 points, 180 simulated now", "results: out"]
    lines = errors.splitlines()
    assert lines[0] == "[0/180] sweep tried"
    assert re.fullmatch(r"\[180/180\] sweep tried: [0-9.e+]+ points/s", lines[1])
    _, out, _ = program("sweep", "sweep.yaml", "--no-figures")
    assert out.splitlines()[0].endswith("; 180 already simulated")


@pytest.mark.usefixtures("house")
def test_what_people_hold_shows_itself() -> None:
    outcome = swept()
    assert repr(outcome) == "Outcome(16 points, 16 simulated now, 0 failed, results in out)"
    shown = repr(outcome.table).splitlines()
    assert re.fullmatch(r"16 points of \w+: 0 failed, \d+ on the front", shown[0])
    assert "buffer.size" in shown[1]
    assert "network" not in shown[1], "what is the same in all rows is left out"
    assert "<table" in outcome._repr_html_()
    assert repr(outcome.table[["scheme"]]).splitlines()[0].strip() == "scheme", "a part of it is shown as it is"
    with Store(Path("out")) as store:
        assert repr(store) == "Store(out/points.sqlite)"


@pytest.mark.usefixtures("house")
def test_the_front_is_a_column_and_equal_points_stand_on_it_together() -> None:
    table = swept().table
    names = ["bytes_moved", "total_cycles", "energy_uj", "area_mm2"]
    assert table["pareto"].tolist() == front(table, names).tolist()
    assert 0 < table["pareto"].sum() < len(table)


@pytest.mark.usefixtures("house")
def test_the_crew_is_as_large_as_all_tasks_allow_whatever_is_done_first() -> None:
    def crew_of(text: str, processes: int) -> int:
        Path("sweep.yaml").write_text(text)
        sizes: list[int] = []

        def see(hands: Hands, tasks: int) -> AbstractContextManager[Crew]:
            sizes.append(min(hands.processes, tasks))
            return workers(simulate_task, 1)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Hands, "crew", see)
            swept(processes=processes, results=f"out_{len(text)}_{processes}")
        return sizes[0]

    assert crew_of(SWEEP, 5) == 5, "three tasks tell the time, eight are there in all"
    assert crew_of(SWEEP, 50) == 8
    one = SWEEP.replace("{from: 2 KiB, to: 16 KiB, scale: powers_of_two}", "[8 KiB]").replace("[channel_marker]", "[dense]")
    assert crew_of(one, 4) == 1


def test_the_shipped_sweep_of_digits_trades_accuracy_for_traffic(tmp_path: Path) -> None:
    changes = ["axes.epsilon=[0, 0.3, 0.5]", "schemes=[dense, channel_marker]"]
    table = accelsim.sweep(ROOT / "configs/sweep/digits_accuracy.yaml", changes, results=tmp_path, processes=1, figures=False)
    assert (table["error"] == "").all()
    assert len(table) == 3 * 3 * 2 * 2
    marked = table[(table["scheme"] == "channel_marker") & (table["network.prune"] == "none")]
    for _, rows in marked.groupby("accelerator.buffer.size"):
        assert rows["bytes_moved"].is_monotonic_decreasing
        assert rows["accuracy"].tolist() == [90.0, 90.0, 20.0]


def test_the_shipped_sweep_of_resnet_weighs_accuracy(tmp_path: Path, shared: Path) -> None:
    pytest.importorskip("onnx")
    changes = [
        "axes.epsilon=[0, 1]",
        "accuracy.limit=40",
        "schemes=[dense]",
        "jobs.0.images=['${ACCELSIM_ASSETS}/assets/cifar10_test500.npz:images:17']",
    ]
    table = accelsim.sweep(ROOT / "configs/sweep/resnet20_accuracy.yaml", changes, results=tmp_path, processes=1, figures=False)
    assert (table["error"] == "").all()
    judged = table.groupby(["epsilon", "mode"])["accuracy"].first()
    assert judged[0].nunique() == 1
    assert judged[0].min() > 60 > judged[1].max()
