"""Is it known before a kernel runs whether it must be compiled first, is it compiled once, and does it count as it is compiled to?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from accelsim.kernels import machinecode
from accelsim.kernels.jit import ForwardCompiler

KEEPS = sys.platform == "linux" and bool(machinecode.processor().identity)
"""Whether machine code is kept on such a machine."""

KERNEL = """
import sys
from accelsim.kernels import machinecode
from accelsim.kernels.compile import is_compiled, is_loaded, kernel

@kernel
def double(x):
    return 2 * x

print(is_compiled(double), is_loaded(double), double(3), is_compiled(double), is_loaded(double), "numba" in sys.modules)
"""
ONLY_NUMBA = KERNEL.replace("@kernel", "machinecode.machine = lambda: ''\n@kernel", 1)


@pytest.mark.parametrize(
    ("script", "jit", "expected"),
    [
        (KERNEL, "0", ["False False 6 True True True", f"True False 6 True True {not KEEPS}"]),
        (ONLY_NUMBA, "0", ["False False 6 True True True", "True False 6 True True True"]),
        (KERNEL, "1", ["True True 6 True True False"] * 2),
    ],
)
def test_a_kernel_is_compiled_once_and_found_again(tmp_path: Path, script: str, jit: str, expected: list[str]) -> None:
    file = tmp_path / "script.py"
    file.write_text(script, "utf-8")
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "NUMBA_DISABLE_JIT": jit, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    runs = [subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout.strip() for run in runs] == expected


COUNTING = """
import numpy as np
from strategies import banked, machine, one_tile, strided, technology

from accelsim.engines import fast
from accelsim.kernels import replay
from accelsim.kernels.compile import FORWARD


class Forward(np.recarray):
    seen = 0

    def __getitem__(self, index):
        self.look(index)
        return super().__getitem__(index)

    def __setitem__(self, index, value):
        self.look(index)
        super().__setitem__(index, value)

    def look(self, index):
        for each in index if isinstance(index, tuple) else (index,):
            assert isinstance(each, (slice, str)) or each >= 0, index
            Forward.seen += 1


def forward(tables):
    return tables._replace(**{name: t.view(Forward) for name, t in tables._asdict().items() if isinstance(t, np.ndarray)})


for name in ("replay", "replay_banked"):
    run = getattr(replay, name)
    setattr(replay, name, lambda machine, *tables, run=run: run(machine, *map(forward, tables)))
schedule = one_tile(*(strided(4096 * k, 500, rows=2, row_pitch=700) for k in range(6)), stored=(strided(0, 900),))
for mode in ("full", "fast"):
    for channels in (1, 2):
        for preset in ("dramsim3", "ramulator"):
            memory = technology(channels=channels, controller={"preset": preset})
            fast.run(schedule, banked(machine(256, access=32, outstanding_reads=3), memory, mode))
fast.run(schedule, machine(256, outstanding_reads=3))
print(Forward.seen > 10_000, sorted(FORWARD))
"""


def test_kernels_that_are_compiled_to_count_from_the_start_never_count_from_the_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(COUNTING, "utf-8")
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}", "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True ['dram', 'replay']"


def test_an_index_that_is_compiled_as_unsigned_finds_the_same() -> None:
    def rotate(table: np.ndarray, rows: np.ndarray, k: int) -> int:
        rows[k, k + 1] = table[k]
        table[k] += table[rows[k, k + 1]] + table[-1]
        return int(table[:k].sum() + table[k] + rows[k, k + 1])

    plain, forward = (rotate, numba.njit(pipeline_class=ForwardCompiler)(rotate))
    outcomes = []
    for function in (plain, forward):
        table, rows = np.arange(6), np.zeros((5, 7), np.int64)
        outcomes.append((function(table, rows, 3), table.tolist(), rows.tolist()))
    assert outcomes[0] == outcomes[1]
