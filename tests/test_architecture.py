"""Do the rooms of the house keep their walls?"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "accelsim"
MODULES = sorted(PACKAGE.rglob("*.py"))
NO_KERNELS = {"__init__.py", "compile.py", "jit.py", "machinecode.py", "objectfile.py", "vectors.py", "atomics.py", "lowering.py"}
KERNELS = [path for path in sorted((PACKAGE / "kernels").rglob("*.py")) if path.name not in NO_KERNELS]
SILENT = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] != "cli"]
LOWERING = {f"kernels/{folder}/lowering.py" for folder in ("crew", "dram", "marks", "windows")}
DOORS = {
    "yaml": {"configfile/reader.py"},
    "simpy": {"engines/reference.py"},
    "numba": {"kernels/jit.py", *LOWERING},
    "llvmlite": {"kernels/jit.py", "kernels/machinecode.py", *LOWERING},
    "PIL": {"images.py"},
    "distributed": {"sweeps/clusters.py"},
    "optuna": {"sweeps/searching.py"},
}
FOLDERS = tuple(f"accelsim.kernels.{folder}" for folder in ("crew", "dram", "marks", "replay", "schedule", "windows"))
DOOR_FOLDERS = {"matplotlib": "plots/", "torch": "torch/", "onnx": "networks/onnx"}


def imported(tree: ast.AST) -> set[str]:
    """Full names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_each_library_has_one_door(module: Path) -> None:
    place = module.relative_to(PACKAGE).as_posix()
    roots = {name.partition(".")[0] for name in imported(ast.parse(module.read_text("utf-8")))}
    for library, doors in DOORS.items():
        assert library not in roots or place in doors, f"{place} imports {library}, whose door is {sorted(doors)}"
    for library, folder in DOOR_FOLDERS.items():
        assert library not in roots or place.startswith(folder), f"{place} imports {library}, whose door is {folder}"


@pytest.mark.parametrize("module", KERNELS, ids=lambda path: path.name)
def test_a_kernel_calls_only_kernels_whose_edits_its_cache_sees(module: Path) -> None:
    inside = {name for name in imported(ast.parse(module.read_text("utf-8"))) if name.startswith("accelsim")}
    outside = inside - {"accelsim.kernels.compile"}
    if module.parent.name != "kernels":  # the cache of the subfolders is keyed by the content of all of them
        outside = {name for name in outside if not name.startswith(FOLDERS)}
    assert not outside, "numba's cache does not see edits in imported kernels"


@pytest.mark.parametrize("module", KERNELS, ids=lambda path: path.name)
def test_every_function_of_a_kernel_file_is_compiled(module: Path) -> None:
    for node in ast.parse(module.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            decorators = {name.id for name in ast.walk(ast.Module(node.decorator_list, [])) if isinstance(name, ast.Name)}
            assert decorators & {"kernel", "called", "inlined"}, f"{module.name}:{node.lineno}: {node.name} runs as plain Python"


@pytest.mark.parametrize("module", SILENT, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_prints_but_the_command_line(module: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_holds_one_noun(module: Path) -> None:
    assert len(module.read_text("utf-8").splitlines()) <= 400, "look for the second noun"


def test_imports_obey_the_house() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_loads_no_heavy_library() -> None:
    code = "import sys; import accelsim.cli; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"numba", "numpy", "pandas", "matplotlib", "pyarrow", "simpy", "PIL", "yaml", "pydantic", "torch"}
    assert not heavy & set(done.stdout.split())


def test_a_walk_loads_tables_pictures_and_compilers_only_where_it_uses_them() -> None:
    code = "import sys; import accelsim.simulate, accelsim.checks; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numba", "llvmlite", "pandas", "pyarrow", "matplotlib", "PIL", "simpy", "onnx", "torch"} & set(done.stdout.split())
