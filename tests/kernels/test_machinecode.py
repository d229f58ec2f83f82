"""Is code that was kept the code that was compiled: for the same arguments, with the same results, errors and threads?"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

from accelsim.kernels import jit, machinecode, objectfile

pytestmark = [
    pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="without the jit there is no machine code"),
    pytest.mark.skipif(not machinecode.processor().identity, reason="code is kept on Linux on x86-64 alone"),
]

KERNELS = """
from typing import NamedTuple
import numpy as np
from accelsim.kernels.compile import inlined, kernel


class Pair(NamedTuple):
    values: np.ndarray
    factor: int


@inlined
def scaled(value, factor):
    return value * factor


@kernel
def total(values, factor):
    found = 0
    for value in values.flat:
        found += scaled(value, factor)
    return found


@kernel
def fill(values, number):
    values[...] = number


@kernel
def split(values, at):
    left = np.empty(at, values.dtype)
    left[:] = values[:at]
    return left, values[at:], at > 2


@kernel
def of_pair(pair, rows):
    rows[0].made = total(pair.values, pair.factor)
    return pair.factor > 1


@kernel
def checked(number):
    if number < 0:
        raise ValueError("less than nothing")
    return number


@kernel
def busy(flags, turns):
    flags[0] = 1
    state = np.uint64(88172645463325252)
    for _ in range(turns):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
    flags[2] = state
    flags[1] = 1
"""


class Workshop(NamedTuple):
    """A file of kernels; each call of `module` reads it anew, as another process would."""

    file: Path
    patch: pytest.MonkeyPatch

    def module(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("some_kernels", self.file)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        self.patch.setitem(sys.modules, "some_kernels", made)
        spec.loader.exec_module(made)
        return made

    def kept(self) -> list[Path]:
        return sorted(self.file.parent.rglob("*.code"))


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "some_kernels.py"
    file.write_text(KERNELS, "utf-8")
    return Workshop(file, monkeypatch)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(*what: object) -> None:
        raise AssertionError(f"compiled again: {what[:2]}")

    return lambda: monkeypatch.setattr(jit, "code", refuse)


grid = np.arange(12.0).reshape(3, 4)
KINDS = {
    "rows": grid,
    "columns": np.asfortranarray(grid),
    "strided": grid[::2, ::2],
    "read only": np.frombuffer(grid.tobytes(), np.float64),
    "flat": grid.reshape(-1),
    "single": grid.astype(np.float32),
    "bytes": grid.astype(np.uint8),
    "long long": grid.astype(np.longlong),
    "none": grid[:0],
    "deep": grid.reshape(1, 3, 2, 2),
}


def test_arguments_of_every_kind_find_their_own_code(workshop: Workshop, no_compiler: Callable[[], None]) -> None:
    factors = (2, 0.5, np.float32(3), np.uint8(2), True)
    for again in (False, True):
        total = workshop.module().total
        for values, factor in [(values, 2) for values in KINDS.values()] + [(grid, factor) for factor in factors]:
            for _ in range(2):
                assert total(values, factor) == values.sum() * float(factor)
        if not again:
            no_compiler()
    assert len(workshop.kept()) == len({machinecode.kind(values) for values in KINDS.values()}) + len(factors) - 1


def test_a_guard_lets_nothing_pass_that_its_code_was_not_compiled_for(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.module().fill(grid.copy(), 1.0)
    (file,) = workshop.kept()
    loaded = machinecode.load(file)
    assert loaded is not None
    assert loaded.guarded is not None
    others = {name: values for name, values in KINDS.items() if machinecode.kind(values) != machinecode.kind(grid)}
    assert len(others) == len(KINDS) - 2
    unaligned = np.frombuffer(bytearray(8 * 12 + 1), np.uint8)[1:].view(np.float64).reshape(3, 4)
    swapped = grid.astype(">f8")
    subclass = grid.view(np.recarray)
    for values in (*others.values(), unaligned, swapped, subclass, None, 7, [1.0]):
        before = np.array(values, copy=True)
        assert loaded.guarded(values, 1.0) is NotImplemented
        assert np.array_equal(before, np.array(values))
    for arguments in ((), (grid,), (grid, 1.0, 1.0), (grid, 1), (grid, True), (grid, np.float64(1)), (grid, None)):
        assert loaded.guarded(*arguments) is NotImplemented
    values = grid.copy()
    assert loaded.guarded(values, 7.0) is None
    assert (values == 7).all()


def test_arrays_tuples_and_records_come_and_go(workshop: Workshop, no_compiler: Callable[[], None], tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "mapped", mode="w+", shape=(5,), dtype=np.int64)
    mapped[:] = np.arange(5)
    for again in (False, True):
        module = workshop.module()
        for values in (np.arange(5), mapped):
            left, right, far = module.split(values, 3)
            assert (left.tolist(), right.tolist(), far) == ([0, 1, 2], [3, 4], True)
            left[0] = right[0] = 9
            assert values[3] == 9
            values[3] = 3
        rows = np.recarray(1, [("count", np.int64), ("made", np.int64)])
        assert module.of_pair(module.Pair(np.arange(4), 3), rows) is True
        assert rows[0].made == 18
        if not again:
            no_compiler()


def test_arrays_that_kept_code_has_made_outlive_it_and_are_freed(workshop: Workshop) -> None:
    workshop.module().split(np.arange(5), 3)
    held = [workshop.module().split(np.arange(10**6), 10**6 - 1) for _ in range(3)]
    assert [int(left.sum()) for left, _, _ in held] == [(10**6 - 1) * (10**6 - 2) // 2] * 3
    assert all(left.base is not None and left.flags.writeable for left, _, _ in held)


def test_errors_are_raised_as_they_were_written(workshop: Workshop, no_compiler: Callable[[], None]) -> None:
    for again in (False, True):
        checked = workshop.module().checked
        for number in (-1, -2):
            with pytest.raises(ValueError, match="less than nothing"):
                checked(number)
        assert checked(2) == 2
        if not again:
            no_compiler()


def test_other_threads_run_meanwhile(workshop: Workshop) -> None:
    workshop.module().busy(np.zeros(3, np.uint64), 1)
    busy, flags = workshop.module().busy, np.zeros(3, np.uint64)
    busy(flags, 1)
    flags[:] = 0
    thread = Thread(target=busy, args=(flags, 300_000_000))
    thread.start()
    while not flags[0]:
        pass
    seen = int(flags[1])
    thread.join()
    assert (seen, int(flags[1])) == (0, 1)


def test_numbers_that_no_word_holds_are_left_to_numba(workshop: Workshop) -> None:
    checked = workshop.module().checked
    assert checked(2**63) == 2**63
    assert not workshop.kept()


@pytest.mark.parametrize("harm", [lambda data: data[:-9], lambda data: data[:50] + b"?" + data[51:], lambda data: b""])
def test_a_damaged_file_is_made_again(workshop: Workshop, harm: Callable[[bytes], bytes]) -> None:
    assert workshop.module().checked(5) == 5
    (file,) = workshop.kept()
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    assert workshop.module().checked(6) == 6
    assert file.read_bytes() == whole
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]


def test_where_nothing_can_be_written_numba_runs(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, code: machinecode.Code) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machinecode, "save", full)
    checked = workshop.module().checked
    assert [checked(5), checked(6)] == [5, 6]
    assert not workshop.kept()


def test_an_edited_kernel_is_compiled_again(workshop: Workshop) -> None:
    assert workshop.module().checked(5) == 5
    # as another file: a name stands for the content that was first read
    other = workshop._replace(file=workshop.file.with_name("edited.py"))
    other.file.write_text(KERNELS.replace("return number", "return number + 1"), "utf-8")
    assert other.module().checked(5) == 6


def test_code_of_other_sources_that_nobody_reads_is_removed(workshop: Workshop) -> None:
    assert workshop.module().checked(5) == 5
    (file,) = workshop.kept()
    beside = file.parent.parent
    for name in ("0123456789abcdef", "0123456789abcdee", "0123456789abcded", "notes_of_my_own"):
        (beside / name / "numba").mkdir(parents=True)
        (beside / name / "k.f.0123456789abcdef.code").write_bytes(b"")
        (beside / name / "numba" / "k.f-1.py311.nbi").write_bytes(b"")
    (beside / "0123456789abcdee" / "thesis.txt").write_text("not ours", "utf-8")
    for folder in beside.iterdir():
        os.utime(folder, (0, 0))
    os.utime(beside / "0123456789abcded")
    machinecode.note_use.cache_clear()
    assert workshop.module().checked(6) == 6
    assert time.time() - file.parent.stat().st_mtime < 3600, "what is read is known to be"
    assert (beside / "0123456789abcdef").exists(), "nothing was compiled"
    machinecode.forget.cache_clear()
    assert workshop.module().busy(np.ones(3, np.uint64), 1) is None
    assert {path.name for path in beside.iterdir()} == {file.parent.name, "0123456789abcdee", "0123456789abcded", "notes_of_my_own"}


def test_code_is_of_its_machine_and_settings_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = (machinecode.kind(1),)
    before = machinecode.place(tmp_path, "x", kinds)
    assert before is not None
    monkeypatch.setattr(machinecode, "machine", machinecode.machine.__wrapped__)
    assert machinecode.place(tmp_path, "x", kinds) == before
    monkeypatch.setenv("NUMBA_OPT", "1")
    optimised = machinecode.place(tmp_path, "x", kinds)
    monkeypatch.setattr(machinecode, "processor", lambda: machinecode.Processor("another", frozenset()))
    elsewhere = machinecode.place(tmp_path, "x", kinds)
    assert len({before, optimised, elsewhere}) == 3
    monkeypatch.chdir(tmp_path)
    Path(".numba_config.yaml").write_text("opt: 1", "utf-8")
    assert machinecode.place(tmp_path, "x", kinds) is None


def test_kept_code_and_numba_live_in_one_process(workshop: Workshop) -> None:
    """Kept code first, which must not spoil the import of numba; then a kernel that is compiled and calls the kept one."""
    script = """
import sys
import numpy as np
import some_kernels
print(some_kernels.total(np.arange(4), 3), some_kernels.split(np.arange(5), 3)[0], "numba" in sys.modules)
left, right, far = some_kernels.split(np.arange(5), 3)
rows = np.recarray(1, [("made", np.int64)])
print(some_kernels.of_pair(some_kernels.Pair(np.arange(4), 2), rows), rows[0].made, left, "numba" in sys.modules)
try:
    some_kernels.checked(-1)
except ValueError as fault:
    print(fault)
"""
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{workshop.file.parent}"}

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    workshop.module().total(np.arange(4), 3)
    workshop.module().split(np.arange(5), 3)
    assert run() == "18 [0 1 2] False\nTrue 12 [0 1 2] True\nless than nothing\n"
    assert run() == "18 [0 1 2] False\nTrue 12 [0 1 2] False\nless than nothing\n"


def test_what_a_linker_does_not_know_it_refuses(workshop: Workshop) -> None:
    workshop.module().checked(5)
    (file,) = workshop.kept()
    content = file.read_bytes()[32:]
    head, _, data = content.partition(b"\n")
    size = int(head.decode().rpartition(",")[2].strip(" ]"))
    data = data[:size]
    assert objectfile.linked(data, lambda name: 1)
    asked: list[str] = []

    def ask(name: str) -> int:
        asked.append(name)
        raise objectfile.UnusableError(name)

    with pytest.raises(objectfile.UnusableError, match=r"Py|numba|NRT"):
        objectfile.linked(data, ask)
    with pytest.raises(objectfile.UnusableError, match="x86-64"):
        objectfile.linked(data[:18] + struct.pack("<H", 183) + data[20:], lambda name: 1)
    table, size, count = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HH", data, 58)
    sections = [(table + size * i, *struct.unpack_from("<IIQQQQIIQQ", data, table + size * i)) for i in range(count)]
    start = next(section[5] for section in sections if section[2] == 4)
    with pytest.raises(objectfile.UnusableError, match="relocation"):
        objectfile.linked(data[: start + 8] + struct.pack("<I", 2) + data[start + 12 :], lambda name: 1)
    header, flags = next((section[0], section[3]) for section in sections if section[3] & 4 and section[6])
    with pytest.raises(objectfile.UnusableError, match="section"):
        objectfile.linked(data[: header + 8] + struct.pack("<Q", flags | 0x400) + data[header + 16 :], lambda name: 1)


def test_code_cannot_be_written_over(workshop: Workshop) -> None:
    workshop.module().checked(5)
    start = ctypes.addressof(ctypes.c_char.from_buffer(objectfile._KEPT[-1]))
    lines = [line.split() for line in Path("/proc/self/maps").read_text("utf-8").splitlines()]
    (rights,) = (line[1] for line in lines if int(line[0].partition("-")[0], 16) <= start < int(line[0].partition("-")[2], 16))
    assert rights == "r-xp"


WARM = """
import sys
import numpy as np
import accelsim
from accelsim import inference, simulate
from accelsim.runfile import load_network_file

file = load_network_file("configs/network/digits/network.yaml")
network = simulate.load_network(file)
inference.predict(network, np.zeros(network.graph.nodes[0].shape, np.float32))
trace = accelsim.load_trace("traces/tiny_dog.npz")
for memory in ("edge.yaml", "ddr4.yaml"):
    machine = accelsim.load_accelerator(f"configs/accelerator/{memory}", [])
    accelsim.compare(trace, machine, ["channel_marker", "part_marker"])
print("numba" in sys.modules, "llvmlite" in sys.modules)
"""


def test_a_warm_run_reads_no_compiler() -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    runs = [
        subprocess.run([sys.executable, "-c", WARM], cwd=root, env=environment, capture_output=True, text=True, check=False) for _ in "12"
    ]
    assert runs[1].stdout + runs[1].stderr == "False False\n"
