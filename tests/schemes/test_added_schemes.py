"""A scheme in somebody else's file is one like ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accelsim import schemes
from accelsim.configfile import families
from accelsim.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent
ROWS = '''"""The `row_marker` scheme: one bit a row of each channel; zero rows are neither written nor read."""

from accelsim.schemes import base
from accelsim.schemes.base import TRAFFIC, mark
from accelsim.trace import part_flags

NEEDS = "masks"
SAVES = TRAFFIC


class Options(base.Options):
    """How rows lie."""

    layout: base.Layout = "raster"
    """Rows at their place, each in a slot of whole accesses, or the live ones packed."""


def encode(fmap, machine, options):
    """Zero rows are skipped."""
    zero = part_flags(fmap, 1, fmap.shape[2])
    return mark(fmap, machine, (1, fmap.shape[2]), zero, zero.size, SAVES, options.layout)
'''


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ACCELSIM_SCHEMES": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "accelsim", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)


def test_a_file_in_an_added_folder_is_listed_replayed_and_tested_as_ours_are(tmp_path):
    (tmp_path / "row_marker.py").write_text(ROWS)
    found = run(tmp_path, "schemes", "row_marker")
    assert "The `row_marker` scheme" in found.stdout
    assert " layout " in found.stdout
    trace = ROOT / "configs/network/digits/network.yaml"
    image = ROOT / "configs/network/digits/images/3.png"
    found = run(
        tmp_path,
        *("compare", trace, "--image", image, "--accelerator", ROOT / "configs/accelerator/edge.yaml"),
        *("--scheme", "row_marker", "--scheme", "row_marker:layout=packed", "--verify"),
    )
    assert found.returncode == 0, found.stderr
    assert "row_marker:layout=packed  identical (verified)" in found.stdout
    # the contract finds it by listing
    code = "import scheme_samples, sys; sys.exit('row_marker' not in scheme_samples.EVERY)"
    environment = {**os.environ, "ACCELSIM_SCHEMES": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no_parts", "NEEDS = 3", "no_parts.py: a scheme has Options, NEEDS, SAVES and encode\n    missing here: Options, SAVES, encode"),
        ("no_python", "NEEDS =", "scheme 'no_python' cannot be imported: SyntaxError: invalid syntax"),
        ("no_import", "import nonsense_", "scheme 'no_import' cannot be imported: ModuleNotFoundError: No module named 'nonsense_'"),
    ],
)
def test_a_file_that_is_no_scheme_is_named(tmp_path, monkeypatch, name, content, message):
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.setenv("ACCELSIM_SCHEMES", str(tmp_path))
    monkeypatch.setattr(schemes, "__path__", [*schemes.__path__, str(tmp_path)])
    with pytest.raises(ConfigError) as caught:
        schemes.load(name)
    assert message in str(caught.value)


def test_a_name_that_is_taken_and_a_folder_that_is_not_there_are_refused(tmp_path, monkeypatch):
    (tmp_path / "zvc.py").write_text(ROWS)
    monkeypatch.setenv("ACCELSIM_SCHEMES", str(tmp_path))
    with pytest.raises(ConfigError, match=r"ACCELSIM_SCHEMES: .*: 'zvc' is there already\n    give the file another name"):
        families.members("schemes")
    monkeypatch.setenv("ACCELSIM_SCHEMES", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"ACCELSIM_SCHEMES: no such folder: .*nowhere"):
        families.members("schemes")
