"""A sweep that is killed ten times while it simulates comes to the table of one that is not, byte for byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from sweep_samples import furnish, many, start, swept, wait_for_points

from accelsim.designspace.store import FILE, Store

TIMES = 10


def kept(keys: list[str]) -> int:
    """Points in the store that a killed sweep left, looked at in a copy."""
    shutil.copytree("out", "seen")
    with Store(Path("seen")) as store:
        found = len(store.read(keys))
    shutil.rmtree("seen")
    return found


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    many(rates=200)
    keys: list[str] = []
    add = Store.add

    def note(store: Store, points: dict[str, object]) -> None:
        keys.extend(points)
        add(store, points)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "add", note)
    assert swept(results="whole", processes=2).simulated == 1_200
    chance, counts = random.Random(6), [0]
    for number in range(TIMES):
        driver = start("--processes", "1") if number < TIMES // 2 else start()
        # the log grows by some 20 kB with each task of eight points
        assert wait_for_points(driver, 20_000 * chance.randint(1, 8)), f"the sweep ended before its kill {number}: {driver.communicate()}"
        if number % 2:
            os.kill(driver.pid, signal.SIGKILL)  # its workers see it, and end
        else:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
        assert not Path("out/sweep.csv").exists()
        counts.append(kept(keys))
    assert all(before < after for before, after in pairwise(counts)), f"every kill came while points were simulated: {counts}"
    resumed = swept(processes=2)
    assert resumed.simulated == 1_200 - counts[-1] > 0, "what was kept is not simulated again"
    for name in ("sweep.csv", "sweep.parquet"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()
    assert not Path(f"out/{FILE}-wal").exists(), "the store was closed"
