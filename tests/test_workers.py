"""Work in processes: results come back, faults too, and one thread each."""

from __future__ import annotations

import os

import pytest

from accelsim.errors import ConfigError, ModelError
from accelsim.workers import workers


def work(task: int) -> tuple[int, int, str]:
    if task == 99:
        raise ModelError("task 99 is wrong")
    if task == 66:
        os._exit(1)
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
