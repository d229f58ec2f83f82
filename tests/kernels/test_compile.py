"""Is it known before a kernel runs whether it must be compiled first?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = """
from accelsim.kernels.compile import is_compiled, kernel

@kernel
def double(x):
    return 2 * x

print(is_compiled(double), double(3), is_compiled(double))
"""


@pytest.mark.parametrize(("jit", "expected"), [("0", ["False 6 True", "True 6 True"]), ("1", ["True 6 True", "True 6 True"])])
def test_a_kernel_is_compiled_once_and_found_again(tmp_path: Path, jit: str, expected: list[str]) -> None:
    script = tmp_path / "script.py"
    script.write_text(KERNEL, "utf-8")
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "NUMBA_DISABLE_JIT": jit, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    runs = [subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout.strip() for run in runs] == expected
