"""The results folder: written whole or not at all, read back for later figures."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from accelsim.engines.occupancy import HELD
from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator, peaks
from accelsim.report.comparison import Comparison
from accelsim.report.result import COLUMNS, FLOAT_COLUMNS, NUMBER_TYPES, TEXT_COLUMNS, Result

if TYPE_CHECKING:
    import pandas as pd

BANDWIDTH_TYPES = dict.fromkeys(("network", "image", "scheme", "source"), str) | dict.fromkeys(
    ("time_us", "until_us", "read_gb_per_s", "write_gb_per_s", *(f"held_{name}_bytes" for name in HELD)), float
)
"""Columns of `bandwidth.csv` and their types."""

ACCOUNTING: Mapping[str, str] = {
    "cycles": "accelerator cycles; a layer's window runs from the end of the previous layer's last tile to the end of its own last tile, "
    "the last layer's to the end of the last store; total = busy + stalls, exactly",
    "stalls": "each cycle in which the array does not work has one cause: waiting for ifmap, filter, metadata or a free output slot, "
    "fill and drain of the array, start (the layer's producers had not yet stored their maps), or conflict (the DMA engine was at the "
    "bank of the buffer that the array wanted; only where the buffer has a `banking`: engines/contention.py)",
    "read_*_bytes, write_*_bytes": "bytes wanted by tensor; with read_psum and write_psum (partial sums spilled and read back) they add "
    "up to bytes_wanted",
    "bytes_moved": "bytes of whole DRAM accesses; the excess over bytes_wanted is burst rounding",
    "bytes_dense": "bytes the dense scheme would have wanted",
    "buffer_occupancy": "bytes held at once at most, and on average over the run, by blocks of ifmap, filter and ofmap (from the first "
    "request of a load, or the first tile, to the release), by maps kept on chip, and by all; peak_buffer_bytes counts from allocation",
    "dram": "accesses, commands and row hits, misses (bank closed) and conflicts (another row open) of all channels; posted writes that "
    "the controller still holds at the end are included; empty for a flat DRAM",
    "link_overhead_bytes": "headers and link-layer packets around the payload, not part of bytes_moved",
    "energy_*_nj": "nanojoules by part, from the prices in accelerator.energy, or of its DRAM technology (energy_estimates says which); "
    "mac: MACs done; buffer: what the DMA engine brings and takes, and an estimate of what the array reads (report/energy.py); link and "
    "dram: bytes moved, burst rounding and link overhead included, and activates; static: standing power over the cycles, of a DRAM "
    "technology too; energy_nj is their sum, exactly. Trust ratios more than absolute numbers",
    "ratios": "scheme over the baseline scheme, below 1 is better; speed_up is the inverse of the ratio of cycles; null where the "
    "baseline has none of it",
    "saved_elements": "as the paper counts: H*W for each zero channel of the outputs of convolutions and max-pools, once each, with no "
    "machine; percent_of_outputs is over the outputs of convolutions, max-pools, shortcuts, fully connected and average-pool layers, "
    "percent_of_conv is over and of convolutions alone",
}
"""What the numbers mean; `summary.json` repeats it."""


def write(folder: Path, comparisons: Sequence[Comparison], config_text: str, files: Mapping[str, bytes] | None = None) -> tuple[Path, ...]:
    """Write a results folder of `contents` as `write_files` does. Raises `ConfigError` where the folder cannot be written."""
    return write_files(folder, contents(comparisons, config_text, files))


def contents(comparisons: Sequence[Comparison], config_text: str, files: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """The files of a results folder: `layers.csv` and `.parquet`, `bandwidth.csv`, `config.yaml`, `files`, and `summary.json` last.

    `config_text` is the resolved configuration. `files`: further files (figures, timelines) by relative path, `figures/x.png`.
    """
    import pandas as pd

    frame = pd.concat([comparison.as_frame() for comparison in comparisons], ignore_index=True)
    bandwidth = pd.concat([comparison.bandwidth_frame() for comparison in comparisons], ignore_index=True)
    parquet = BytesIO()
    frame.to_parquet(parquet, engine="pyarrow", index=False)
    return {
        "layers.csv": frame.to_csv(index=False, lineterminator="\n").encode(),
        "layers.parquet": parquet.getvalue(),
        "bandwidth.csv": bandwidth.to_csv(index=False, lineterminator="\n").encode(),
        "config.yaml": config_text.encode(),
        **(files or {}),
        # Last, so that a folder with a new summary has everything else new too.
        "summary.json": (json.dumps(summary(comparisons), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    }


def write_files(folder: Path, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Put files into a folder by relative path: all of them or none into a new folder, each whole into an existing one.

    Raises:  `ConfigError` where the folder cannot be written; what was begun is removed.
    """
    for name in contents:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"{name!r} is not a path inside the results folder")
    folder = Path(folder)
    try:
        _place(folder, contents)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return tuple(folder / name for name in contents)


def require_writable(folder: Path) -> None:
    """Refuse a results folder that could not be written, before hours of work go by. Raises `ConfigError`; leaves nothing behind."""
    folder = Path(folder)
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryDirectory(dir=there, prefix=".accelsim-"):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def summary(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """What `summary.json` holds: totals and ratios per network, image and scheme, and where they come from."""
    return {
        "accelsim": version(),
        "accounting": dict(ACCOUNTING),
        "comparisons": [
            {
                "network": comparison.network,
                "image": comparison.image,
                "source": comparison.source,
                "trace": {
                    "epsilon": comparison.baseline.epsilon,
                    "mode": comparison.baseline.mode,
                    "provenance": dict(comparison.baseline.provenance),
                },
                "paper": _paper(comparison.baseline),
                "energy_estimates": list(comparison.accelerator.prices.estimates),
                "accelerator": comparison.accelerator.model_dump(mode="json"),
                "peaks": peak_rates(comparison.accelerator),
                "baseline": comparison.baseline.scheme,
                "schemes": {result.scheme: _scheme(comparison, result) for result in comparison.results},
            }
            for comparison in comparisons
        ],
    }


def read_layers(path: Path) -> pd.DataFrame:
    """Read `layers.csv` (or the results folder that holds it) back with its types.

    Raises:  `ConfigError` where it is missing, or is not such a table.
    """
    import pandas as pd

    path = Path(path)
    path = path / "layers.csv" if path.is_dir() else path
    try:
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(TEXT_COLUMNS, str),
            keep_default_na=False,
            na_values={name: [""] for name in FLOAT_COLUMNS},
            encoding="utf-8",
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise ConfigError(f"{path}: cannot read layers: {reason}\n    give a results folder that `accelsim run` has written") from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise ConfigError(f"{path}: no column {', '.join(missing)}\n    make it again: accelsim run")
    try:
        return frame.astype(NUMBER_TYPES)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{path}: a count is not a whole number: {error}\n    make it again: accelsim run") from error


def read_peaks(folder: Path) -> dict[tuple[str, str], Mapping[str, float]]:
    """Peak rates of the machine of each comparison in a results folder's `summary.json`, by network and image.

    Raises:  `ConfigError` where it is missing, or is not such a file.
    """
    path = Path(folder) / "summary.json"
    try:
        comparisons = json.loads(path.read_text("utf-8"))["comparisons"]
        return {(each["network"], each["image"]): {name: float(value) for name, value in each["peaks"].items()} for each in comparisons}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else repr(error)
        raise ConfigError(f"{path}: cannot read the machine's peak rates: {reason}\n    make it again: accelsim run") from error


def read_bandwidth(folder: Path) -> pd.DataFrame:
    """Read `bandwidth.csv` of a results folder back with its types.

    Raises:  `ConfigError` where it is missing, or is not such a table.
    """
    import pandas as pd

    path = Path(folder) / "bandwidth.csv"
    try:
        frame = pd.read_csv(path, dtype=BANDWIDTH_TYPES, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise ConfigError(f"{path}: cannot read bandwidth: {reason}\n    give a results folder that `accelsim run` has written") from error
    missing = [name for name in BANDWIDTH_TYPES if name not in frame.columns]
    if missing:
        raise ConfigError(f"{path}: no column {', '.join(missing)}\n    make it again: accelsim run")
    return frame


def version() -> str:
    """Version of the installed program."""
    from importlib import metadata

    try:
        return metadata.version("accelsim")
    except metadata.PackageNotFoundError:
        return "not installed"


def peak_rates(accelerator: Accelerator) -> dict[str, float]:
    """Peak rates of a machine; units are in the names."""
    peak = peaks(accelerator)
    return {
        "macs_per_s": peak.macs,
        "dram_bytes_per_s": peak.dram,
        "link_read_bytes_per_s": peak.link_read,
        "link_write_bytes_per_s": peak.link_write,
        "clock_period_ps": accelerator.period,
    }


def _paper(result: Result) -> dict[str, float]:
    """The paper's own count of the trace."""
    count = result.paper
    return {
        "saved_elements": count.saved_elements,
        "output_elements": count.output_elements,
        "percent_of_outputs": round(count.percent_of_outputs, 6),
        "conv_saved_elements": count.conv_saved_elements,
        "conv_elements": count.conv_elements,
        "percent_of_conv": round(count.percent_of_conv, 6),
        "conv_layers": count.conv_layers,
        "conv_layers_with_zero": count.conv_layers_with_zero,
    }


def _scheme(comparison: Comparison, result: Result) -> dict[str, Any]:
    """One scheme's totals, rates, and ratios to the yardstick."""
    ratios = comparison.ratios(result.scheme)
    total_ps = result.totals["total_cycles"] * result.accelerator.period
    return {
        "engine": result.engine,
        "totals": {"stall_cycles": result.stall_cycles, **result.totals},
        "time_us": round(result.time_us, 6),
        "achieved_gb_per_s": round(result.achieved_gb_per_s, 6),
        "stall_percent": round(result.stall_percent, 6),
        "macs_skipped_percent": round(result.macs_skipped_percent, 6),
        "energy_uj": {part: round(value, 9) for part, value in result.energy_uj.items()},
        "busy_percent": {part: round(100 * busy / total_ps, 6) if total_ps else 0.0 for part, busy in result.busy_ps.items()},
        "dram": {**result.dram, "row_hit_percent": round(result.row_hit_percent, 6)} if result.dram else {},
        "peak_buffer_bytes": dict(result.peak_bytes),
        "buffer_occupancy": {
            "peak_bytes": result.occupancy.peak,
            "mean_bytes": {what: round(held, 3) for what, held in result.occupancy.mean.items()},
        },
        "ratios": {name: value if value is None else round(value, 9) for name, value in ratios.items()},
        "slower_layers": dict(comparison.slower_layers(result.scheme)),
        "slowdowns": [asdict(slow) | {"why": slow.why} for slow in comparison.slowdowns(result.scheme)],
        "without_own_row": dict(result.fused),
        "notes": list(result.notes),
    }


def _place(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write every file beside its place, then move all of them in; on failure remove what is ours."""
    created: list[Path] = []
    try:
        _make_parents(folder, created)
        # Staged where the files will live: the last step is then a rename within one file system.
        with tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else folder.parent, prefix=".accelsim-") as staging:
            staged = Path(staging) / "results"
            for name, content in contents.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).write_bytes(content)
            if not folder.is_dir():
                staged.rename(folder)
                return
            for name in contents:
                _make_parents(folder / name, created)
            for name in contents:
                (staged / name).replace(folder / name)
    except BaseException:
        for path in reversed(created):
            # A folder that has something in it by now is not ours alone.
            with suppress(OSError):
                path.rmdir()
        raise


def _make_parents(path: Path, created: list[Path]) -> None:
    """Make the missing parents of `path`, outermost first, and note each one that is made."""
    for parent in reversed([parent for parent in path.parents if not parent.exists()]):
        parent.mkdir()
        created.append(parent)


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    """The fault of a results folder that cannot be written, and what would help."""
    return ConfigError(f"{folder}: cannot write results: {error.strerror or error}\n    {_remedy(error)}")


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space, or name a folder on another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "name a folder that you may write to, or change its permissions"
    return "name a folder, new or existing, whose path holds no file"
