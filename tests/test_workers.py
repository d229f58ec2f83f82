"""Work in processes: results come back, faults too, and one thread each."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator

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
