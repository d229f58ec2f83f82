"""Work in processes: results come back, faults too, and one thread each."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accelsim.errors import ConfigError, ModelError
from accelsim.workers import AHEAD, workers


def work(task: int) -> tuple[int, int, str]:
    if task == 99:
        raise ModelError("task 99 is wrong")
    if task == 66:
        os._exit(1)
    if task == 55:
        time.sleep(3_600)
    return task * task, os.getpid(), os.environ.get("NUMBA_NUM_THREADS", "")


def test_one_process_is_this_one_and_keeps_the_order() -> None:
    with workers(work, 1) as crew:
        found = list(crew.run([3, 1, 2]))
    assert [(task, result[0], result[1]) for task, result in found] == [(task, task * task, os.getpid()) for task in (3, 1, 2)]


def test_several_processes_do_all_tasks_on_one_thread_each_and_tell_faults() -> None:
    before = os.environ.get("NUMBA_NUM_THREADS")
    with workers(work, 2) as crew:
        found = dict(crew.run(range(8)))
        assert {task: result[0] for task, result in found.items()} == {task: task * task for task in range(8)}
        assert os.getpid() not in {result[1] for result in found.values()}
        assert {result[2] for result in found.values()} == {"1"}
        with pytest.raises(ModelError, match="task 99 is wrong"):
            list(crew.run([1, 99, 2]))
        assert dict(crew.run([4]))[4][0] == 16, "a fault does not end the crew"
        with pytest.raises(ConfigError, match="a process was killed"):
            list(crew.run([66]))
    assert os.environ.get("NUMBA_NUM_THREADS") == before


def test_an_error_that_leaves_the_block_ends_what_the_processes_are_at() -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with workers(work, 2) as crew:
            assert repr(crew) == "Workers(2 processes)"
            for _ in crew.run([1, 55, 55, 55]):
                pids.extend(process.pid or 0 for process in set(multiprocessing.active_children()) - before)
                raise KeyboardInterrupt

    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def variable(name: str) -> str:
    return os.environ.get(name, "")


def test_workers_have_the_environment_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("first", "second", ""):
        if value:
            monkeypatch.setenv("ACCELSIM_TRIED", value)
        else:
            monkeypatch.delenv("ACCELSIM_TRIED")
        with workers(variable, 2) as crew:
            assert dict(crew.run(["ACCELSIM_TRIED"])) == {"ACCELSIM_TRIED": value}


AHEAD_OF_WORK = """
import os, sys
from accelsim.workers import METHOD, import_ahead, workers

def thing(name):
    return name in sys.modules, len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 2

if __name__ == "__main__":
    import_ahead("json.tool", "numpy")
    with workers(thing, 2) as crew:
        print(METHOD, *dict(crew.run(["json.tool"])).values())
"""


def test_what_is_imported_ahead_is_there_in_a_worker_of_few_threads(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(AHEAD_OF_WORK, "utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    # its own, and those that follow the parent and hand results on
    assert done.stdout.strip() in {"forkserver (True, 2)", "forkserver (True, 3)", "spawn (False, 2)", "spawn (False, 3)"}, done.stderr


def test_no_more_is_handed_out_than_keeps_the_processes_busy() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for task in range(40):
            taken.append(task)
            yield task

    with workers(work, 2) as crew:
        done = crew.run(tasks())
        next(done)
        assert len(taken) <= 2 * AHEAD
        assert len(list(done)) == 39
