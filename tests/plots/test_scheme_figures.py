"""The figure of schemes side by side: what is drawn, and that a reader can read it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_figures import assert_readable, drawn_bars, every_width, legend_labels

from accelsim import plots
from accelsim.errors import ConfigError

SCHEMES = ("dense", "channel_marker", "zero_block:height=8,width=8,threshold=0.1", "zvc")


def table(schemes: tuple[str, ...] = SCHEMES, **fields: object) -> pd.DataFrame:
    count = len(schemes)
    rows = pd.DataFrame(
        {"network": "net", "image": "dog", "source": "inference", "accelerator": "edge", "scheme": schemes}, index=range(count)
    )
    rows["weight_scheme"] = ["dense", "eie", "dense", "dense"][:count]
    rows["lossless"] = ["threshold" not in scheme for scheme in schemes]
    for number, tensor in enumerate(("ifmap", "filter", "ofmap", "psum", "metadata")):
        rows[f"{tensor}_bytes"] = [1_000_000 * (5 - number) - 1000 * row for row in range(count)]
    rows["bytes_wanted"] = rows[[name for name in rows if name.endswith("_bytes")]].sum(axis=1)
    rows["bytes_moved"] = rows["bytes_wanted"] + 500_000
    rows["total_cycles_ratio"], rows["energy_ratio"] = np.linspace(1, 0.5, count), np.linspace(1, 1.1, count)
    return rows.assign(**fields)


@every_width
@pytest.mark.parametrize("count", [1, 2, 4])
def test_schemes_side_by_side_are_readable(width: float, count: int) -> None:
    figure = plots.schemes_by_tensor(table(SCHEMES[:count]), width)
    assert_readable(figure)
    assert legend_labels(figure) == ["ifmap", "filter", "ofmap", "psum", "metadata", "burst rounding", "cycles", "energy"]


def test_schemes_side_by_side_show_the_numbers_of_the_table() -> None:
    rows = table()
    figure = plots.schemes_by_tensor(rows)
    above, below = figure.axes
    bars = drawn_bars(above)
    heights = [sum(bar.height for bar in bars if round(bar.left + bar.width / 2) == place) for place in range(len(rows))]
    assert heights == pytest.approx((rows["bytes_moved"] / 1e6).tolist())
    assert [line.get_ydata().tolist() for line in below.lines[:2]] == [rows["total_cycles_ratio"].tolist(), rows["energy_ratio"].tolist()]
    names = [label.get_text() for label in below.get_xticklabels()]
    assert names == ["dense", "channel_marker+eie", "zero_block:height=8,width=8,thres… (lossy)", "zvc"]


@pytest.mark.parametrize("rows", [table().iloc[:0], pd.concat([table(), table(image="cat")])])
def test_rows_that_make_no_one_figure_are_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="a figure shows schemes on one network, image and machine"):
        plots.schemes_by_tensor(rows)
