"""Search: the same points for the same seed, in the same store, resumed at no cost; and what it is for: finding the front."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sweep_samples import PATH, RATE, SWEEP, furnish, swept

from accelsim import sweeps
from accelsim.designspace.fronts import front
from accelsim.designspace.store import Store
from accelsim.errors import ConfigError

pytest.importorskip("optuna")

OBJECTIVES = "[bytes_moved, total_cycles, area_mm2]"
SEARCH = (
    SWEEP.replace("[channel_marker]", "[dense, channel_marker, zvc]")
    .replace("from: 2 KiB", "from: 1 KiB")
    .replace("[4, 16]", "[1, 2, 4, 8, 16]")
)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return tmp_path


def ask(trials: int = 24, more: str = "", text: str = SEARCH) -> None:
    Path("sweep.yaml").write_text(f"{text}  search: {{objectives: {OBJECTIVES}, trials: {trials}, batch: 6{more}}}\n")


def trials(folder: str = "out") -> pd.DataFrame:
    return pd.read_csv(Path(folder, "trials.csv"))


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_a_seed_tries_the_same_points_and_another_one_others(sampler: str) -> None:
    ask(more=f", sampler: {sampler}")
    first = swept()
    assert 0 < first.simulated <= 48
    assert swept().simulated == 0, "resuming is trying again, at no cost"
    assert swept(results="again").simulated == first.simulated
    assert Path("out/trials.csv").read_bytes() == Path("again/trials.csv").read_bytes()
    assert Path("out/sweep.csv").read_bytes() == Path("again/sweep.csv").read_bytes()
    ask(more=f", sampler: {sampler}, seed: 1")
    swept(results="other")
    assert Path("out/trials.csv").read_bytes() != Path("other/trials.csv").read_bytes()


@pytest.mark.usefixtures("house")
def test_processes_do_not_change_what_is_tried_and_an_interrupted_search_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ask()
    add, added = Store.add, []

    def stop_after_some(store: Store, points: object) -> None:
        add(store, points)  # type: ignore[arg-type]
        added.append(points)
        if len(added) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "add", stop_after_some)
    with pytest.raises(KeyboardInterrupt, match=r"points are kept in out/points.sqlite"):
        swept()
    monkeypatch.setattr(Store, "add", add)
    resumed = swept(processes=2)
    whole = swept(results="whole")
    assert 0 < resumed.simulated < whole.simulated
    for name in ("sweep.csv", "trials.csv", "sweep.parquet"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.usefixtures("house")
def test_a_trial_says_what_its_rows_say() -> None:
    ask()
    table = swept().table
    for _, trial in trials().iterrows():
        row = table[(table[PATH] == trial[PATH]) & (table[RATE] == trial[RATE]) & (table["scheme"] == trial["scheme"])]
        assert len(row) == 1, "each point stands once, in the order of the axes"
        assert row["total_cycles"].iloc[0] == trial["total_cycles"]
        assert row["area_mm2"].iloc[0] == pytest.approx(trial["area_mm2"])
    places = [(*SIZES, "").index(size) for size in table[PATH]]
    assert places == sorted(places)


SIZES = ("1 KiB", "2 KiB", "4 KiB", "8 KiB", "16 KiB")


@pytest.mark.usefixtures("house")
def test_a_long_search_finds_the_front_of_the_whole_grid() -> None:
    ask(trials=400, more=", sampler: random")
    found = swept()
    Path("grid.yaml").write_text(SEARCH)
    grid = sweeps.sweep("grid.yaml", results="grid", figures=False)
    names = ["bytes_moved", "total_cycles", "area_mm2"]
    best = grid[front(grid, names)][names].drop_duplicates().sort_values(names).to_numpy(float).tolist()
    table = found.table[found.table["pareto"]][names].drop_duplicates().sort_values(names).to_numpy(float).tolist()
    assert table == best
    shown = trials()
    assert shown[shown["pareto"]][names].drop_duplicates().sort_values(names).to_numpy(float).tolist() == best


@pytest.mark.usefixtures("house")
def test_combinations_that_cannot_be_are_trials_without_points() -> None:
    text = SEARCH.replace("  jobs", "  where: ['bytes_per_cycle != 4']\n  jobs").replace("from: 1 KiB", "from: 64 B")
    ask(text=text.replace("[1, 2, 4, 8, 16]", "[0, 4, 16]"))
    table = swept().table
    assert set(table[RATE]) == {16}
    shown = trials().fillna({"error": ""})
    assert shown[shown[RATE] == 0]["error"].str.contains("0 is too small").all()
    assert (shown[shown[RATE] == 4]["error"] == "a condition does not hold").all()
    assert set(shown[RATE]) == {0, 4, 16}
    assert shown[shown[RATE] != 16]["total_cycles"].isna().all()
    assert (table["error"] != "").any(), "a buffer of 64 bytes holds no tile"
    assert shown[(shown[RATE] == 16) & (shown[PATH] == "64 B")]["total_cycles"].isna().all()


@pytest.mark.usefixtures("house")
def test_what_cannot_be_searched_is_refused() -> None:
    Path("sweep.yaml").write_text(SEARCH + "  search: {objectives: [total_cycle]}\n")
    with pytest.raises(ConfigError, match=r"'total_cycle' is no objective(.|\n)*Did you mean 'total_cycles'"):
        swept()
    ask(text=SEARCH.replace("[{trace: noise.npz}]", "[{trace: noise.npz, schemes: [dense]}]"))
    with pytest.raises(ConfigError, match=r"sweep.yaml:\d+:\d+: sweep.jobs.0.schemes: a search tries each scheme on every job"):
        swept()
    ask(more=", trails: 5")
    with pytest.raises(ConfigError, match="Did you mean 'trials'"):
        swept()


@pytest.mark.usefixtures("house")
def test_a_dry_run_of_a_search_says_how_much_it_tries() -> None:
    ask()
    assert sweeps.forecast("sweep.yaml") == "sweep tried: 24 trials by nsga2 among 25 settings"
    assert not Path("out").exists()
