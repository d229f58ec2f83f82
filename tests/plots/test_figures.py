"""Figures: what is drawn, and that a reader can read it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from report_samples import comparison, golden_trace, layers_frame, trace

from accelsim import plots
from accelsim.errors import ConfigError
from accelsim.trace import Trace

ROOF = plots.Roof(2e11, 1.28e10, 1250)
OF_LAYERS = {
    "bytes_per_layer": plots.bytes_per_layer,
    "stall_causes": plots.stall_causes,
    "stall_shares": lambda layers, width=plots.DOUBLE_COLUMN: plots.stall_causes(layers, width, share=True),
    "cycles_per_layer": plots.cycles_per_layer,
    "energy_breakdown": plots.energy_breakdown,
}
OF_TRACE = {"paper_figure6": plots.paper_figure6, "zero_channel_map": plots.zero_channel_map}
Draw = Callable[..., Figure]

every_layers_figure = pytest.mark.parametrize("draw", OF_LAYERS.values(), ids=OF_LAYERS)
every_trace_figure = pytest.mark.parametrize("draw", OF_TRACE.values(), ids=OF_TRACE)
every_width = pytest.mark.parametrize("width", [plots.SINGLE_COLUMN, plots.DOUBLE_COLUMN])


class Bar(NamedTuple):
    """One bar as it is drawn."""

    left: float
    low: float
    width: float
    height: float


def drawn_bars(axes: Axes) -> list[Bar]:
    """Every bar of a panel, in the order of drawing; one patch holds all bars of one look."""
    paths = [patch.get_path().vertices.reshape(-1, 5, 2) for patch in axes.patches]
    return [Bar(*corners[0], *(corners[2] - corners[0])) for path in paths for corners in path]


def texts(figure: Figure) -> list[Text]:
    """Every text that is seen."""
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def legend_labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def boxes(figure: Figure) -> tuple[Bbox, Bbox, list[Bbox]]:
    """Where title, legend, and each panel with its labels lie, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    title = figure._suptitle.get_window_extent(renderer)  # type: ignore[attr-defined]
    return title, figure.legends[0].get_window_extent(renderer), [axes.get_tightbbox(renderer) for axes in figure.axes]


def assert_readable(figure: Figure) -> None:
    """Nothing is cut off, nothing lies on anything else, no text is smaller than 7 pt."""
    title, legend, panels = boxes(figure)
    everything = [title, legend, *panels]
    page = figure.bbox.padded(1)
    for box in everything:
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    for number, one in enumerate(everything):
        for other in everything[number + 1 :]:
            shared = Bbox.intersection(one, other)
            assert shared is None or shared.height < 1, "two parts of the figure overlap"
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        ticks = [label.get_window_extent(renderer) for label in axes.get_xticklabels() if label.get_text()]
        assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(ticks)), "layer names overlap"
        assert axes.bbox.height >= 0.7 * figure.dpi, "a panel is too flat to read"
        for image in axes.images:
            assert len(image.get_array()) <= 200 * axes.bbox.height / figure.dpi, "a picture loses lines when it is drawn"
    assert min(text.get_fontsize() for text in texts(figure)) >= 7


@every_layers_figure
@every_width
@pytest.mark.parametrize("count", [1, 5, 70])
def test_figures_of_layers_are_readable_at_paper_width(draw: Draw, width: float, count: int) -> None:
    figure = draw(layers_frame(count), width)
    assert figure.get_figwidth() == width
    assert_readable(figure)


@every_layers_figure
@every_width
def test_four_schemes_fit_one_figure(draw: Draw, width: float) -> None:
    schemes = ("dense", "channel_marker", "part_marker", "zero_block")
    figure = draw(layers_frame(20, schemes), width)
    assert_readable(figure)
    shown = [*legend_labels(figure), *(axes.get_title() for axes in figure.axes)]
    assert set(schemes) <= set(shown)


@every_trace_figure
@every_width
@pytest.mark.parametrize("network", ["alexnet", "mobilenet", "squeezenet"])
def test_figures_of_traces_are_readable_at_paper_width(shared: Path, draw: Draw, width: float, network: str) -> None:
    assert_readable(draw(golden_trace(shared, network), width))


@every_layers_figure
def test_every_y_axis_names_its_unit_and_every_figure_its_source(draw: Draw) -> None:
    figure = draw(layers_frame(5))
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert all("(" in label or label.startswith("ratio") for label in labels)
    assert figure.axes[-1].get_xlabel() == "layer"
    assert "net, dog" in figure.get_suptitle()
    assert "source: synthetic" in figure.get_suptitle()


@every_trace_figure
def test_figures_of_traces_name_unit_source_and_epsilon(draw: Draw) -> None:
    figure = draw(trace("published statistics"))
    assert all("(" in axes.get_ylabel() for axes in figure.axes)
    words = figure.get_suptitle().replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")
    assert "source: published statistics" in words
    assert "ε = 0" in words
    assert "two_layers, checks" in words


def test_bytes_have_one_bar_a_tensor_a_layer_and_a_scheme_as_tall_as_the_bytes_moved() -> None:
    frame = layers_frame(5)
    (axes,) = plots.bytes_per_layer(frame).axes
    parts = 6
    bars = drawn_bars(axes)
    assert len(bars) == parts * 5 * 2 - 5  # dense has no metadata
    tops = pd.Series([bar.low + bar.height for bar in bars]).groupby([round(bar.left, 6) for bar in bars]).max()
    moved = frame.set_index(["layer", "scheme"])["bytes_moved"].loc[frame["layer"].unique()].to_numpy()
    in_order = frame.sort_values("layer", kind="stable")["bytes_moved"].to_numpy()
    assert len(moved) == len(in_order)
    np.testing.assert_allclose(tops.to_numpy(), in_order / 1e6)
    assert axes.get_ylabel() == "DRAM traffic (MB)"


def test_small_traffic_is_told_in_kilobytes() -> None:
    frame = layers_frame(3)
    frame = frame.assign(**{name: frame[name] // 100 for name in frame.columns if name.endswith("bytes") or name.startswith("bytes")})
    assert plots.bytes_per_layer(frame).axes[0].get_ylabel() == "DRAM traffic (kB)"


def test_tensors_that_never_move_are_left_out_of_bars_and_legend() -> None:
    frame = layers_frame(4).assign(read_psum_bytes=0, write_psum_bytes=0, read_metadata_bytes=0, write_metadata_bytes=0)
    figure = plots.bytes_per_layer(frame)
    assert legend_labels(figure) == ["ifmap", "filter", "ofmap", "burst rounding", "dense", "channel_marker"]
    assert len(drawn_bars(figure.axes[0])) == 4 * 4 * 2


def test_stalls_have_one_bar_a_cause() -> None:
    frame = layers_frame(5)
    figure = plots.stall_causes(frame)
    assert legend_labels(figure) == [
        "ifmap",
        "filter",
        "metadata",
        "output",
        "fill/drain",
        "start",
        "bank conflict",
        "dense",
        "channel_marker",
    ]
    (axes,) = figure.axes
    assert len(drawn_bars(axes)) == 7 * 5 * 2
    stalls = (frame["total_cycles"] - frame["busy_cycles"]).sum()
    assert sum(bar.height for bar in drawn_bars(axes)) == pytest.approx(stalls / 1e3)


def test_shares_are_of_the_first_schemes_cycles_so_a_taller_bar_means_more_cycles() -> None:
    frame = layers_frame(5)
    (axes,) = plots.stall_causes(frame, share=True).axes
    assert axes.get_ylabel() == "stalled (% of dense cycles)"
    stalled = (frame["total_cycles"] - frame["busy_cycles"]).to_numpy().reshape(2, 5)
    whole = frame["total_cycles"].to_numpy().reshape(2, 5)[0]
    assert sum(bar.height for bar in drawn_bars(axes)) == pytest.approx(float((100 * stalled / whole).sum()))


def test_cycles_have_a_bar_a_scheme_and_rings_where_the_scheme_is_slower() -> None:
    frame = layers_frame(5)
    cycles, ratio = plots.cycles_per_layer(frame).axes
    assert len(drawn_bars(cycles)) == 5 * 2
    totals = frame["total_cycles"].to_numpy().reshape(2, 5)
    points, rings = ratio.collections
    np.testing.assert_allclose(np.asarray(points.get_offsets())[:, 1], totals[1] / totals[0])
    assert len(rings.get_offsets()) == (totals[1] > totals[0]).sum() > 0


def test_energy_is_stacked_by_part_up_to_the_total() -> None:
    frame = layers_frame(5)
    figure = plots.energy_breakdown(frame)
    assert legend_labels(figure) == ["DRAM", "link", "buffer", "MACs", "static", "dense", "channel_marker"]
    (axes,) = figure.axes
    assert axes.get_ylabel() == "energy (µJ)"
    assert sum(bar.height for bar in drawn_bars(axes)) == pytest.approx(frame["energy_nj"].sum() / 1e3)


@pytest.mark.parametrize(("nanojoules", "unit"), [(0.5, "nJ"), (999, "nJ"), (2e3, "µJ"), (2e6, "mJ"), (2e9, "J")])
def test_energy_is_told_in_the_unit_that_reads_best(nanojoules: float, unit: str) -> None:
    frame = layers_frame(2)
    frame = frame.assign(**{name: nanojoules if "dram" in name else 0.0 for name in frame.columns if name.startswith("energy_")})
    assert plots.energy_breakdown(frame).axes[0].get_ylabel() == f"energy ({unit})"


def test_bars_stand_on_the_axis_with_no_gap_below() -> None:
    assert plots.cycles_per_layer(layers_frame(5)).axes[0].get_ylim()[0] == 0


@every_width
@pytest.mark.parametrize("schemes", [1, 2, 6])
def test_bandwidth_has_a_panel_a_scheme_on_one_scale(width: float, schemes: int) -> None:
    base = comparison().bandwidth_frame()
    frame = pd.concat([base[base["scheme"] == "dense"].assign(scheme=f"scheme_{number}") for number in range(schemes)])
    figure = plots.bandwidth_over_time(frame, width)
    assert_readable(figure)
    assert [axes.get_title() for axes in figure.axes] == [f"scheme_{number}" for number in range(schemes)]
    assert {axes.get_ylim() for axes in figure.axes} == {figure.axes[0].get_ylim()}
    assert {axes.get_ylabel() for axes in figure.axes} == {"DRAM\n(GB/s)"}
    assert figure.axes[-1].get_xlabel() == "time (ns)"
    assert legend_labels(figure) == ["read", "written"]


def test_bandwidth_is_as_tall_as_reads_and_writes_together() -> None:
    frame = comparison().bandwidth_frame()
    axes = plots.bandwidth_over_time(frame).axes[0]
    tops = [patch.get_data() for patch in axes.patches]
    mine = frame[frame["scheme"] == "dense"]
    np.testing.assert_allclose(tops[0].values, mine["read_gb_per_s"])
    np.testing.assert_allclose(tops[1].values, mine["read_gb_per_s"] + mine["write_gb_per_s"])


def test_bandwidth_of_a_still_run_can_be_drawn_and_of_none_or_two_cannot() -> None:
    frame = comparison().bandwidth_frame()
    assert_readable(plots.bandwidth_over_time(frame.assign(read_gb_per_s=0.0, write_gb_per_s=0.0)))
    with pytest.raises(ConfigError, match="at least one window"):
        plots.bandwidth_over_time(frame[:0])
    with pytest.raises(ConfigError, match="a figure shows one network, the table has two_layers, other"):
        plots.bandwidth_over_time(pd.concat([frame, frame.assign(network="other")]))
    with pytest.raises(ConfigError, match="at most 6 schemes, the table has 7"):
        plots.bandwidth_over_time(pd.concat([frame.assign(scheme=name) for name in "abcdefg"]))


def test_no_ring_and_no_entry_where_nothing_is_slower() -> None:
    frame = layers_frame(5)
    frame.loc[frame["scheme"] != "dense", "total_cycles"] = 1
    figure = plots.cycles_per_layer(frame)
    assert legend_labels(figure) == ["dense", "channel_marker"]


@every_layers_figure
def test_a_single_scheme_needs_no_yardstick(draw: Draw) -> None:
    figure = draw(layers_frame(5, ("dense",)))
    assert len(figure.axes) == 1
    assert "dense" in legend_labels(figure)
    assert_readable(figure)


@every_layers_figure
@every_width
def test_layers_in_which_nothing_happens_can_be_drawn(draw: Draw, width: float) -> None:
    frame = layers_frame(4)
    nothing = frame.assign(**{name: 0 for name in frame.columns if name.endswith(("bytes", "cycles", "nj")) or name.startswith("bytes")})
    assert_readable(draw(nothing, width))


def test_bars_too_thin_to_stand_side_by_side_get_a_panel_a_scheme_on_one_scale() -> None:
    figure = plots.bytes_per_layer(layers_frame(70), plots.SINGLE_COLUMN)
    assert [axes.get_title() for axes in figure.axes] == ["dense", "channel_marker"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert "channel_marker" not in legend_labels(figure)


def test_long_networks_name_some_layers_and_mark_the_others() -> None:
    axes = plots.bytes_per_layer(layers_frame(70)).axes[0]
    named = [label.get_text() for label in axes.get_xticklabels()]
    assert named[:3] == ["000 conv", "002 conv", "004 conv"]
    assert len(axes.get_xticks(minor=True)) + len(axes.get_xticks()) >= 70


@every_layers_figure
def test_colours_of_one_figure_differ_and_hatches_tell_schemes_apart(draw: Draw) -> None:
    figure = draw(layers_frame(5))
    looks = [(to_hex(handle.get_facecolor()), handle.get_hatch()) for handle in figure.legends[0].get_patches()]
    assert len(set(looks)) == len(looks)
    bars = figure.axes[0].patches
    assert {bar.get_hatch() or "" for bar in bars} == {"", "/////"}


def test_the_papers_figure_6_adds_up_to_the_published_savings(shared: Path) -> None:
    figure = plots.paper_figure6(golden_trace(shared, "mobilenet"))
    (axes,) = figure.axes
    loaded, saved = [bar.height for bar in drawn_bars(axes)[:54]], [bar.height for bar in drawn_bars(axes)[54:]]
    assert len(saved) == 36  # of 54 convolutions these have a zero channel
    assert sum(saved) == pytest.approx(696_584 * 16 / 1e6)
    assert sum(loaded) + sum(saved) == pytest.approx(8_924_488 * 16 / 1e6)
    assert "Mbit" in axes.get_ylabel()
    assert "7.805\N{NO-BREAK SPACE}% saved" in figure.get_suptitle()


def test_the_map_shows_each_zero_channel_where_it_is() -> None:
    figure = plots.zero_channel_map(trace())
    counts, panel = figure.axes
    assert [bar.height for bar in drawn_bars(counts)] == [1]
    picture = np.asarray(panel.images[0].get_array())
    lines = len(picture)
    middle = [[to_hex(picture[int((channel + 0.5) * lines / 4), layer]) for channel in range(4)] for layer in range(2)]
    live, zero, absent = "#dcebf5", "#0072b2", "#b0b0b0"
    assert middle == [[live, zero, live, live], [live, live, absent, absent]]


def test_the_map_loses_no_lonely_zero_channel_however_many_channels_there_are(shared: Path) -> None:
    source = golden_trace(shared, "alexnet")
    picture = np.asarray(plots.zero_channel_map(source).axes[1].images[0].get_array())
    lonely = [
        index
        for index, column in enumerate(picture.transpose(1, 0, 2))
        if any(to_hex(line) not in ("#dcebf5", "#b0b0b0") for line in column)
    ]
    # Convolutions and max-pools of the log with a zero channel: 8, 8, 0, 0, 1, 0, 1, 1 of them.
    assert lonely == [0, 1, 4, 6, 7]


def test_spread_positions_are_owned_up_to() -> None:
    assert "positions unknown" in plots.zero_channel_map(trace("published statistics")).get_suptitle().replace("\n", " ")
    assert "positions unknown" not in plots.zero_channel_map(trace("synthetic")).get_suptitle()


@every_layers_figure
def test_a_table_of_two_networks_is_refused_by_name(draw: Draw) -> None:
    two = pd.concat([layers_frame(2, network="alexnet"), layers_frame(2, network="vgg16")])
    with pytest.raises(ConfigError, match="a figure shows one network, the table has alexnet, vgg16"):
        draw(two)


def test_an_empty_table_too_many_schemes_and_other_layers_are_refused() -> None:
    frame = layers_frame(3)
    with pytest.raises(ConfigError, match="at least one layer"):
        plots.bytes_per_layer(frame[:0])
    with pytest.raises(ConfigError, match="at most 6 schemes, the table has 7"):
        plots.bytes_per_layer(layers_frame(2, tuple("abcdefg")))
    with pytest.raises(ConfigError, match="dense and channel_marker have different layers"):
        plots.bytes_per_layer(frame[:-1])


@every_trace_figure
def test_a_trace_with_nothing_to_show_is_refused_by_name(draw: Draw) -> None:
    whole = trace()
    empty = Trace(type(whole.graph)("bare", whole.graph.nodes[:1]), whole.maps[:1], "x", 0.0, "channel", (1, 1), "synthetic", {})
    with pytest.raises(ConfigError, match="bare: no"):
        draw(empty)


@pytest.mark.parametrize("name", ["a $x^2$ b", "$", "图像", "a\tb", "x" * 200, "an [odd] {name} %s \\frac"])
def test_any_name_can_be_drawn(name: str) -> None:
    frame = layers_frame(5, network=name, image=name).assign(layer=lambda rows: rows["layer"] + name)
    for draw in (plots.stall_causes, plots.cycles_per_layer):
        figure = draw(frame, plots.SINGLE_COLUMN)
        assert_readable(figure)
        assert set(plots.render(figure)) == {"png", "svg"}


def test_figures_come_from_a_real_result_too() -> None:
    for _, figure in [*plots.of_layers(comparison().as_frame()), *plots.of_bandwidth(comparison().bandwidth_frame())]:
        assert_readable(figure)


def images_frame(count: int, schemes: tuple[str, ...] = ("dense", "channel_marker", "part_marker")) -> pd.DataFrame:
    """Layers of several images, each of which saves another share of cycles."""
    frames = []
    for number in range(count):
        frame = layers_frame(4, schemes).assign(image=f"image {number}")
        other = frame["scheme"] != "dense"
        frame.loc[other, "total_cycles"] = frame.loc[other, "total_cycles"] * (100 - number) // 100
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def working_frame(count: int) -> pd.DataFrame:
    """Layers that have MACs, some of which the scheme skips."""
    frame = layers_frame(count)
    macs, skipped = 1000 * frame["bytes_moved"], frame["scheme"].ne("dense") * 1000
    return frame.assign(macs_done=macs.groupby(frame["layer"]).transform("max") - skipped, macs_skipped=skipped)


@every_width
@pytest.mark.parametrize("count", [1, 5, 70])
def test_a_roofline_is_readable_and_no_name_lies_on_another(width: float, count: int) -> None:
    figure = plots.roofline(working_frame(count), ROOF, width)
    assert_readable(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    names = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    for number, one in enumerate(names):
        assert figure.bbox.x0 <= one.x0 <= one.x1 <= figure.bbox.x1
        assert not any(one.overlaps(other) for other in names[number + 1 :])


def test_a_roofline_has_each_layer_at_its_dense_work_per_byte_and_per_second() -> None:
    frame = working_frame(6)
    figure = plots.roofline(frame, ROOF)
    (axes,) = figure.axes
    work = (frame["macs_done"] + frame["macs_skipped"]).to_numpy().reshape(2, 6)[0]
    for points, scheme in zip(axes.collections, ("dense", "channel_marker"), strict=True):
        rows = frame[frame["scheme"] == scheme]
        expected = np.stack([work / rows["bytes_moved"], work / (rows["total_cycles"] * ROOF.period * 1e-12) / 1e9], axis=1)
        np.testing.assert_allclose(np.asarray(points.get_offsets()), expected)
    assert legend_labels(figure) == ["dense", "channel_marker"]


def test_the_roof_bends_where_both_rates_meet() -> None:
    figure = plots.roofline(working_frame(3), ROOF)
    roof = figure.axes[0].lines[-1]
    x, y = np.asarray(roof.get_xdata()), np.asarray(roof.get_ydata())
    np.testing.assert_allclose(x[1], ROOF.macs / ROOF.bytes)
    np.testing.assert_allclose(y, np.minimum(ROOF.macs, ROOF.bytes * x) / 1e9)


def test_a_roofline_without_macs_is_refused() -> None:
    with pytest.raises(ConfigError, match="MACs"):
        plots.roofline(layers_frame(2).assign(macs_done=0, macs_skipped=0), ROOF)


@every_width
def test_a_spread_is_readable_and_has_a_point_an_image(width: float) -> None:
    figure = plots.image_spread(images_frame(5), width)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    panels = [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(panels))
    assert min(text.get_fontsize() for text in texts(figure)) >= 7
    cycles = figure.axes[1]
    frame = images_frame(5)
    totals = frame.groupby(["scheme", "image"], sort=False)["total_cycles"].sum()
    for points, scheme in zip(cycles.collections, ("channel_marker", "part_marker"), strict=True):
        saved = 100 * (1 - totals[scheme] / totals["dense"])
        np.testing.assert_allclose(np.asarray(points.get_offsets())[:, 1], saved.to_numpy())
    assert cycles.get_ylabel() == "cycles saved\n(% of dense)"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (lambda: images_frame(2), "at least 3 images"),
        (lambda: images_frame(4, ("dense",)), "2 to"),
        (lambda: images_frame(4).query("not (image == 'image 1' and scheme == 'part_marker')"), "lack a scheme"),
        (lambda: pd.concat([images_frame(3), images_frame(3).assign(network="other")]), "one network"),
    ],
)
def test_a_spread_of_what_cannot_be_compared_is_refused(rows: Callable[[], pd.DataFrame], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plots.image_spread(rows())
