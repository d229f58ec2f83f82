"""Figures of evaluations: what is drawn, and that a reader can read it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_figures import assert_readable, drawn_bars, every_width, legend_labels

from accelsim import plots
from accelsim.errors import ConfigError


def accuracy(labelled: bool = True, by_layer: bool = True) -> pd.DataFrame:
    rows = []
    for number, mode in enumerate(("channel", "part", "element"), 1):
        for epsilon in (0.0, 0.1, 0.2, 0.3):
            top = (90.0 - 100 * epsilon * number, 99.0 - 50 * epsilon * number) if labelled else (np.nan, np.nan)
            rows.append(("net", f"{epsilon:g}", mode, epsilon, 100, *top, 100 * epsilon * number / 2))
        if by_layer:
            rows.append(("net", "auto", mode, np.nan, 100, 88.0, 98.0, 20.0 * number))
    columns = ["network", "setting", "mode", "epsilon", "images", "top1_percent", "top5_percent", "marked_percent_of_outputs"]
    return pd.DataFrame(rows, columns=columns)


def shares(scopes: tuple[str, ...], images: int = 0) -> pd.DataFrame:
    rows = [("net", scope, limit, 10.0 * number + 100 * limit) for number, scope in enumerate(scopes) for limit in (0.0, 0.1, 0.2)]
    table = pd.DataFrame(rows, columns=["network", "scope", "threshold", "percent"])
    return table.assign(images=images) if images else table


def channels(count: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "network": "net",
            "epsilon": 0.0,
            "images": 20,
            "layer": [f"{index:03d}_convolutional" for index in range(count)],
            "kind": "conv",
            "channels": 10,
            "static": 3,
            "removable": 2,
            "dynamic_mean": 1.5,
            "dynamic_minimum": 1,
            "dynamic_maximum": 2,
        }
    )


@every_width
@pytest.mark.parametrize("labelled", [True, False])
def test_epsilon_curves_are_readable(width: float, labelled: bool) -> None:
    figure = plots.epsilon_curve(accuracy(labelled, by_layer=labelled), width)
    assert_readable(figure)
    assert len(figure.axes) == 1 + labelled
    assert ("top-1" in legend_labels(figure)) == labelled


def test_epsilon_curves_show_the_numbers_of_the_table() -> None:
    figure = plots.epsilon_curve(accuracy())
    marked = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 4]
    np.testing.assert_allclose(marked[1].get_ydata(), [0.0, 10.0, 20.0, 30.0])
    level = [line.get_ydata()[0] for line in figure.axes[1].lines if len(line.get_xdata()) == 2]
    assert level == [20.0, 40.0, 60.0]
    assert "an epsilon a layer: auto" in legend_labels(figure)


@every_width
def test_sparsity_bars_are_readable_and_show_the_numbers(width: float) -> None:
    figure = plots.sparsity(shares(("all parameters", "convolution weights")), shares(("convolution outputs",), 2), width)
    assert_readable(figure)
    assert legend_labels(figure) == ["all parameters", "convolution weights", "convolution outputs"]
    assert sorted(round(bar.height, 6) for bar in drawn_bars(figure.axes[0])) == [10, 10, 10, 20, 20, 20, 30]


@every_width
@pytest.mark.parametrize("count", [1, 5, 70])
def test_static_and_dynamic_bars_are_readable_and_stack(width: float, count: int) -> None:
    figure = plots.static_dynamic(channels(count), width)
    assert_readable(figure)
    bars = drawn_bars(figure.axes[0])
    assert len(bars) == 3 * count
    assert sorted({(round(bar.low, 6), round(bar.height, 6)) for bar in bars}) == [(0, 20), (20, 10), (30, 15)]


def test_figures_of_several_networks_or_none_are_refused() -> None:
    for draw, table in (
        (plots.epsilon_curve, accuracy()),
        (lambda rows: plots.sparsity(rows, pd.DataFrame()), shares(("all parameters",))),
        (plots.static_dynamic, channels()),
    ):
        for rows in (pd.concat([table, table.assign(network="other")]), table.iloc[:0]):
            with pytest.raises(ConfigError, match="a figure shows one network"):
                draw(rows)
