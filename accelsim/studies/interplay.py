"""What quantisation does to the zeros that a marker finds: the same network and images in float32 and in whole numbers, on one machine.

Each format runs at its own width, in whole halves of bytes: maps of float32 take 32 bits, so a byte saved is one that would have moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from accelsim import inference, report, runfile, simulate
from accelsim.errors import ConfigError
from accelsim.graph import OVERWRITTEN
from accelsim.hardware import Accelerator
from accelsim.runfile import NetworkFile, Quantisation
from accelsim.trace import Trace

if TYPE_CHECKING:
    from rich.table import Table

FLOAT = "float32"


@dataclass(frozen=True)
class Format:
    """A way to hold the data. `quantise`: None for float32."""

    name: str
    map_bits: int
    weight_bits: int
    quantise: Quantisation | None


def formats(asked: Quantisation) -> tuple[Format, ...]:
    """Float32, and whole numbers without and with a zero point."""
    integer = f"int{asked.map_bits}"
    kinds = (("symmetric", f"{integer} symmetric"), ("zero_point", f"{integer} zero point"))
    return (
        Format(FLOAT, 32, 32, None),
        *(Format(name, asked.map_bits, asked.weight_bits, asked.model_copy(update={"maps": kind})) for kind, name in kinds),
    )


def interplay(
    network: str | Path | NetworkFile,
    images: Sequence[str],
    accelerator: Accelerator,
    scheme: str = "channel_marker",
    *,
    calibration: Sequence[str] = (),
    overrides: Sequence[str] = (),
    progress: inference.Progress = inference.silent,
) -> pd.DataFrame:
    """A row for each format and image, and one for each format over all images.

    `calibration`: images that the grids come from; those of the network file's key `quantise` if not given, whose other keys count too.
    Columns: `zero_elements`, `elements`, `zero_channels`, `channels` of the layers that write feature maps, no scores; `dense_bytes`,
             `saved_bytes`: moved under dense, and what the scheme moves less; `saved_percent`
    Raises:  `ConfigError`, `ModelError` for what the user can mend
    """
    file = network if isinstance(network, NetworkFile) else runfile.load_network_file(network, overrides)
    asked = _asked(file, calibration)
    # As a job, so that globs are expanded and every file is known to be there.
    sources = runfile.InferenceJob(network=file, images=tuple(images)).images
    rows: list[dict[str, Any]] = []
    for form in formats(asked):
        loaded = simulate.load_network(file.model_copy(update={"quantise": form.quantise}))
        data = accelerator.data.model_copy(update={"ifmap_bits": _nibbles(form.map_bits), "filter_bits": _nibbles(form.weight_bits)})
        machine = accelerator.model_copy(update={"data": data})
        photographs = (inference.photograph(source, file.preprocessing) for source in sources)
        for trace in inference.record(loaded, photographs):
            progress(f"{file.name} in {form.name}", len(rows), 3 * len(sources))
            rows.append(_row(trace, machine, scheme, form))
    return _with_totals(pd.DataFrame(rows))


def write(found: pd.DataFrame, folder: str | Path) -> tuple[Path, ...]:
    """Write quantisation.csv."""
    return report.write_files(Path(folder), {"quantisation.csv": found.to_csv(index=False, lineterminator="\n").encode()})


def terminal_tables(found: pd.DataFrame) -> Iterator[Table]:
    """What was found, for people: means over the images."""
    from rich import box
    from rich.table import Table

    means = found[found["image"] == ALL]
    title = f"{means['network'].iloc[0]}: {means['scheme'].iloc[0]} on {found['image'].nunique() - 1} images, means"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for header in ("data", "zero elements (%)", "zero channels", "dense (B)", "saved (B)", "saved (%)"):
        table.add_column(header, justify="left" if header == "data" else "right")
    for row in means.to_dict("records"):
        table.add_row(
            row["format"],
            f"{100 * row['zero_elements'] / row['elements']:.2f}",
            f"{row['zero_channels']:,.1f} / {row['channels']:,.0f}",
            f"{row['dense_bytes']:,.0f}",
            f"{row['saved_bytes']:,.0f}",
            f"{row['saved_percent']:.2f}",
        )
    yield table


ALL = "all"
"""Stands for the image in rows of means."""


def _asked(file: NetworkFile, calibration: Sequence[str]) -> Quantisation:
    if calibration:
        base = {} if file.quantise is None else file.quantise.model_dump(exclude={"images"})
        return Quantisation(images=tuple(calibration), **base)
    if file.quantise is None:
        raise ConfigError(
            f"{file.name}: no calibration images\n"
            "    give some (--calibrate photo.jpg), or add to the network file quantise: {images: [...]}"
        )
    return file.quantise


def _nibbles(bits: int) -> int:
    """Bits that a number takes in memory, which knows whole halves of bytes."""
    return -(-bits // 4) * 4


def _row(trace: Trace, machine: Accelerator, scheme: str, form: Format) -> dict[str, Any]:
    counted = [fmap for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True) if node.kind in OVERWRITTEN]
    dense, other = (simulate.replay(trace, machine, each).totals["bytes_moved"] for each in ("dense", scheme))
    return {
        "network": trace.graph.name,
        "image": trace.image,
        "format": form.name,
        "scheme": scheme,
        "accelerator": machine.name,
        "map_bits": form.map_bits,
        "weight_bits": form.weight_bits,
        "elements": sum(fmap.elements for fmap in counted),
        "zero_elements": sum(fmap.zero_elements or 0 for fmap in counted),
        "channels": sum(fmap.shape[0] for fmap in counted),
        "zero_channels": sum(int(fmap.zero_channels.sum()) for fmap in counted),
        "dense_bytes": dense,
        "saved_bytes": dense - other,
        "saved_percent": 100 * (dense - other) / dense,
    }


def _with_totals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of means behind those of images."""
    texts = ["network", "format", "scheme", "accelerator"]
    means = rows.drop(columns="image").groupby(texts, sort=False).mean().reset_index()
    means = means.assign(image=ALL, saved_percent=100 * means["saved_bytes"] / means["dense_bytes"])
    return pd.concat([rows, means[list(rows.columns)]], ignore_index=True)
