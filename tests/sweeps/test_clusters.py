"""Dask: the same table as without it, and a lost worker loses no point."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_sweep_samples import DATA_SWEEP, DIGITS, SPARSITY, furnish_data
from sweep_samples import furnish, many, swept

from accelsim import imageset, sweeps
from accelsim.designspace.store import Store
from accelsim.errors import ConfigError, ModelError
from accelsim.runfile import load_network_file
from accelsim.sweeps import clusters

distributed = pytest.importorskip("distributed")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def local() -> Iterator[object]:
    """A cluster of two workers with a scheduler at an address of its own."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        yield cluster


def shown(task: int, content: bytes) -> tuple[int, int, bytes]:
    if task == 99:
        raise ModelError("task 99 is wrong")
    return task * task, os.getpid(), content


def test_tasks_get_their_files_and_faults_come_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"what it holds")
    with clusters.cluster(shown, lambda task: tmp_path / "file", Path.read_bytes, None, 2) as crew:
        assert repr(crew) == f"Cluster({crew.address}, 2 threads)"
        found = dict(crew.run(range(20)))
        assert {task: result[0] for task, result in found.items()} == {task: task * task for task in range(20)}
        assert os.getpid() not in {result[1] for result in found.values()}
        assert {result[2] for result in found.values()} == {b"what it holds"}
        with pytest.raises(ModelError, match="task 99 is wrong"):
            list(crew.run([1, 99]))
        assert dict(crew.run([4]))[4][0] == 16, "a fault does not end the crew"


@pytest.mark.usefixtures("house")
def test_a_sweep_on_a_cluster_gives_the_same_table(local: object) -> None:
    assert swept(executor="dask", address=local.scheduler_address).simulated == 16  # type: ignore[attr-defined]
    assert swept(results="here").simulated == 16
    for name in ("sweep.csv", "sweep.parquet"):
        assert Path("out", name).read_bytes() == Path("here", name).read_bytes()
    assert swept().simulated == 0, "one store for all executors"


@pytest.mark.usefixtures("house")
def test_a_killed_worker_loses_no_point(local: object, monkeypatch: pytest.MonkeyPatch) -> None:
    many()
    pids = [worker.pid for worker in local.workers.values()]  # type: ignore[attr-defined]
    killed: list[int] = []
    add = Store.add

    def kill_after_some(store: Store, points: object) -> None:
        add(store, points)  # type: ignore[arg-type]
        if not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    monkeypatch.setattr(Store, "add", kill_after_some)
    outcome = swept(executor="dask", address=local.scheduler_address)  # type: ignore[attr-defined]
    assert killed
    assert outcome.simulated == len(outcome.table) == 240
    assert outcome.failed == 0
    assert swept(results="whole").simulated == 240
    for name in ("sweep.csv", "sweep.parquet"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


def test_traces_that_are_inferred_here_or_lie_in_a_store_reach_the_workers(
    local: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    furnish_data(tmp_path)
    address = local.scheduler_address  # type: ignore[attr-defined]
    assert swept(executor="dask", address=address).simulated == 48
    swept(results="here")
    imageset.infer(load_network_file(DIGITS / "network.yaml"), DIGITS / "images", "store", limit=3, processes=1)
    job, axes = (
        DATA_SWEEP[DATA_SWEEP.index("    - network") : DATA_SWEEP.index("  processes")],
        f"    epsilon: [0, 0.2, 0.5]\n    {SPARSITY}: [0, 0.8]\n",
    )
    stored = f"    - {{traces: store, network: {DIGITS}/network.yaml, numbers: [2, 0]}}\n"
    Path("sweep.yaml").write_text(DATA_SWEEP.replace(job, stored).replace(axes, ""))
    assert swept(executor="dask", address=address, results="out_store").simulated == 8
    swept(results="here_store")
    for folder in ("", "_store"):
        for name in ("sweep.csv", "sweep.parquet"):
            assert Path(f"out{folder}", name).read_bytes() == Path(f"here{folder}", name).read_bytes()


def test_an_address_where_nobody_answers_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clusters, "ANSWER", 1)
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    with pytest.raises(ConfigError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers"):
        swept(executor="dask", address="tcp://127.0.0.1:9")


@pytest.mark.usefixtures("house")
def test_a_cluster_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "ANSWER", 1)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty,
        pytest.raises(ConfigError, match=r"this Dask cluster has no workers\n    start some: dask worker tcp://"),
    ):
        swept(executor="dask", address=empty.scheduler_address)


@pytest.mark.usefixtures("house")
def test_executors_and_addresses_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"executor: 'desk' is not known\n    allowed: processes, dask.  Did you mean 'dask'"):
        sweeps.run("sweep.yaml", executor="desk")
    with pytest.raises(ConfigError, match="only a Dask cluster has one"):
        sweeps.run("sweep.yaml", address="tcp://127.0.0.1:9")
