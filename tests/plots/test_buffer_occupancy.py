"""Is what the figure shows what the buffer held?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from report_samples import comparison

from accelsim import plots
from accelsim.errors import ConfigError

COLUMNS = ("held_ifmap_bytes", "held_filter_bytes", "held_ofmap_bytes")


def held() -> pd.DataFrame:
    """A run whose blocks hold more and more."""
    frame = comparison().bandwidth_frame()
    return frame.assign(**{column: np.arange(len(frame)) % 240 + 50.0 * number for number, column in enumerate(COLUMNS)})


def test_it_is_as_tall_as_all_that_is_held_on_one_scale_a_panel_a_scheme() -> None:
    frame = held()
    figure = plots.buffer_occupancy(frame)
    assert [axes.get_title() for axes in figure.axes] == ["dense", "channel_marker"]
    assert {axes.get_ylim() for axes in figure.axes} == {figure.axes[0].get_ylim()}
    tops = [patch.get_data().values for patch in figure.axes[0].patches]
    mine = frame[frame["scheme"] == "dense"]
    assert figure.axes[0].get_ylabel() == "buffer\n(B)"
    np.testing.assert_allclose(tops, np.cumsum([mine[column] for column in COLUMNS], axis=0))


@pytest.mark.parametrize(("times", "unit"), [(1, "B"), (1 << 10, "KiB"), (1 << 20, "MiB")])
def test_bytes_are_told_in_the_unit_that_reads_best(times: int, unit: str) -> None:
    frame = held()
    frame = frame.assign(**{column: frame[column] * times for column in COLUMNS})
    assert plots.buffer_occupancy(frame).axes[0].get_ylabel() == f"buffer\n({unit})"


def test_maps_that_are_kept_have_an_entry_where_there_are_any() -> None:
    frame = held()

    def entries(rows: pd.DataFrame) -> list[str]:
        (legend,) = plots.buffer_occupancy(rows).legends
        return [text.get_text() for text in legend.get_texts()]

    assert entries(frame) == ["ifmap", "filter", "ofmap"]
    assert entries(frame.assign(held_kept_bytes=7.0)) == ["ifmap", "filter", "ofmap", "kept"]
    assert entries(frame.assign(**dict.fromkeys(COLUMNS, 0.0))) == ["ifmap", "filter", "ofmap"]


def test_rows_of_two_networks_are_refused() -> None:
    frame = held()
    with pytest.raises(ConfigError, match="a figure shows one network, the table has two_layers, other"):
        plots.buffer_occupancy(pd.concat([frame, frame.assign(network="other")]))
