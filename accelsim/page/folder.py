"""The page of a results folder, made from the files that stand in it and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from accelsim import report
from accelsim.errors import ConfigError
from accelsim.page.render import NAME
from accelsim.page.run import run_page
from accelsim.page.sweep import sweep_page

KINDS = {"summary.json": run_page, "sweep.csv": sweep_page}
"""The file by which a folder is known -> what makes its page."""


def of_folder(contents: Mapping[str, bytes]) -> bytes:
    """The page of a results folder given as file contents by relative path.

    Raises:  `ConfigError` where it is neither the folder of a run nor of a sweep, or a table is damaged
    """
    for name, page in KINDS.items():
        if name in contents:
            return page(contents).html()
    raise ConfigError(f"neither {' nor '.join(KINDS)} is there\n    give a results folder of `accelsim run`, `replay` or `sweep`")


def add(folder: str | Path) -> Path:
    """Write `report.html` into a results folder from what stands in it; returns its path.

    Raises:  `ConfigError` where the folder holds no results, or cannot be read or written
    """
    folder = Path(folder)
    wanted = [*KINDS, "config.yaml", "layers.csv"]
    try:
        paths = [folder / name for name in wanted if (folder / name).is_file()] + sorted((folder / "figures").glob("*.png"))
        contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    except OSError as error:
        raise ConfigError(f"{folder}: cannot read results: {error.strerror or error}\n    give a results folder") from error
    try:
        page = of_folder(contents)
    except ConfigError as fault:
        raise ConfigError(f"{folder}: {fault}") from fault
    return report.write_files(folder, {NAME: page})[0]
