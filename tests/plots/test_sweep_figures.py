"""Figures of sweeps: what is drawn, and that a reader can read it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from accelsim import plots
from accelsim.designspace.sweeptable import COUNTS, DERIVED, ENERGIES, FIRST, RATIOS
from accelsim.errors import ConfigError
from accelsim.plots.axis_values import ordered, places

SIZE, RATE = "accelerator.buffer.size", "accelerator.link.bytes_per_cycle"
SCHEMES = ("dense", "channel_marker", "part_marker")
SIZES = ("64 KiB", "32 KiB", "128 KiB", "1 MiB")


def table(rates: tuple[int, ...] = (8, 16), failed: str = "", schemes: tuple[str, ...] = SCHEMES) -> pd.DataFrame:
    """A sweep of sizes (not in order) and rates; a smaller buffer moves more, a later scheme less."""
    rows = []
    for size in SIZES:
        for rate in rates:
            for number, scheme in enumerate(schemes):
                lost = size == failed
                moved = int(1e9 / (1 + SIZES.index(size)) * (1 - 0.1 * number))
                first = dict(zip(FIRST, (1, "net", "dog", "synthetic", 0.0, scheme, scheme, "fast"), strict=True))
                numbers = dict.fromkeys((*DERIVED, *COUNTS, *ENERGIES, *RATIOS), None if lost else 1 + number)
                known = {
                    "bytes_moved": moved,
                    "total_cycles": moved // rate,
                    "stall_percent": 40.0 - rate,
                    "bytes_saved_percent": 10.0 * number,
                }
                rows.append({**first, SIZE: size, RATE: rate, "error": "too small" if lost else "", **numbers, **({} if lost else known)})
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(COUNTS, "Int64") | dict.fromkeys((*DERIVED, *ENERGIES, *RATIOS), "float64"))


def judged(images: int = 1) -> pd.DataFrame:
    """A sweep of epsilons and sizes with accuracy, on several images that lie a little apart."""
    rows = table((8,)).drop(columns=[RATE, "epsilon"])
    parts = []
    for image in range(images):
        for epsilon in (0.0, 0.1, 0.2):
            part = rows.assign(job=image + 1, image=f"photo{image}", accuracy=90 - 100 * epsilon**2, area_mm2=1.0)
            part["bytes_moved"] = (part["bytes_moved"] * (1 - epsilon - 0.01 * image)).astype("Int64")
            part["bytes_saved_percent"] *= 1 + epsilon + 0.1 * image
            part.insert(int(part.columns.get_loc(SIZE)), "epsilon", epsilon)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("width", [plots.SINGLE_COLUMN, plots.DOUBLE_COLUMN])
def test_curves_have_a_line_a_scheme_in_order_of_size(width: float) -> None:
    figure = plots.sweep_curves(table((8,)), width)
    assert texts(figure) == list(SCHEMES)
    moved, cycles, stalled, saved = figure.axes
    assert moved.get_ylabel() == "bytes moved (GB)"
    assert "cycles" in cycles.get_ylabel()
    assert stalled.get_ylabel() == "stalled (% of cycles)"
    assert saved.get_xlabel() == "buffer size"
    assert all(len(panel.lines) == 3 for panel in figure.axes)
    x, y = moved.lines[0].get_data()
    assert np.allclose(np.diff(x), [1, 1, 3]), "sizes stand on a scale of powers of two"
    assert np.allclose(y, [0.5, 1.0, 1 / 3, 0.25])
    assert "link bytes per cycle 8" in figure.get_suptitle().replace("\n", " ")
    assert "source: synthetic" in figure.get_suptitle().replace("\n", " ")
    plots.render(figure)  # a layout that collapses is a warning, and warnings are errors


def test_ticks_name_values_as_written_and_do_not_overlap() -> None:
    figure = plots.sweep_curves(table((8,)))
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[2].get_xticklabels()]
    assert figure.axes[2].get_xticklabels()[0].get_text() == "32 KiB"
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_point_without_a_result_is_a_cross_and_not_a_line_to_zero() -> None:
    figure = plots.sweep_curves(table((8,), failed="32 KiB"))
    assert texts(figure) == [*SCHEMES, "no result"]
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[0])
    plots.render(figure)


def test_a_sweep_without_any_result_is_still_drawn() -> None:
    rows = table((8,), failed="32 KiB")
    plots.render(plots.sweep_curves(rows[rows["error"] != ""]))


def test_curves_refuse_rows_that_do_not_make_one_figure() -> None:
    with pytest.raises(ConfigError, match=r"curves against .* need one value of"):
        plots.sweep_curves(table())
    with pytest.raises(ConfigError, match="is no axis of this sweep"):
        plots.sweep_curves(table(), axis="size")
    two = pd.concat([table((8,)), table((8,)).assign(job=2)])
    with pytest.raises(ConfigError, match="shows one trace, the table has 2"):
        plots.sweep_curves(two)
    with pytest.raises(ConfigError, match="this is no table of a sweep"):
        plots.sweep_curves(pd.DataFrame({"layer": []}))


def test_a_heat_map_has_a_panel_a_scheme_and_a_cell_a_point() -> None:
    figure = plots.heat_map(table(failed="32 KiB"), value="stall_percent")
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert [panel.get_title() for panel in panels] == list(SCHEMES)
    picture = panels[0].images[0].get_array()
    assert picture.shape == (2, 4)
    assert picture.mask[:, 0].all(), "32 KiB gave nothing"
    assert picture[:, 1].tolist() == [32.0, 24.0]
    assert [text.get_text() for text in panels[0].texts].count("×") == 2
    assert "× no result" in figure.get_suptitle()
    plots.render(figure)


def test_a_heat_map_refuses_one_axis_and_unknown_numbers() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'speed_up'"):
        plots.heat_map(table(), value="speedup")
    with pytest.raises(ConfigError, match="needs two axes"):
        plots.heat_map(table().drop(columns=RATE))


def test_the_gallery_holds_further_axes_at_each_value() -> None:
    names = [name for name, _ in plots.of_sweep(table())]
    curves, maps = [f"1_net_dog_curves_{rate}" for rate in (8, 16)], ("bytes_saved_percent", "speed_up", "stall_percent")
    whole = ["1_net_dog_front_total_cycles_bytes_moved", "1_net_dog_sensitivity"]
    assert names == [*curves, *(f"1_net_dog_{value}" for value in maps), *whole]
    assert [name for name, _ in plots.of_sweep(table((8,)))] == ["1_net_dog_curves_8", *whole]


def test_of_many_values_of_further_axes_a_few_get_figures_the_first_and_the_last_among_them() -> None:
    names = [name for name, _ in plots.of_sweep(table(tuple(range(1, 30)), schemes=("dense", "zvc"))) if "curves" in name]
    assert len(names) == 4
    assert (names[0], names[-1]) == ("1_net_dog_curves_1", "1_net_dog_curves_29")


def test_values_are_ordered_by_size_only_where_they_are_sizes() -> None:
    assert ordered(pd.Series(["1 MiB", "64 KiB"])) == ["64 KiB", "1 MiB"]
    assert ordered(pd.Series(["edge", "ddr4"])) == ["edge", "ddr4"]
    assert places(["edge", "ddr4"]).tolist() == [0, 1]
    assert places([2, 4, 6]).tolist() == [2, 4, 6]
    assert places([1, 16]).tolist() == [0, 4]


def test_a_front_is_drawn_numbered_and_named() -> None:
    rows = table().assign(area_mm2=lambda frame: frame[SIZE].map({size: 0.1 * 2**number for number, size in enumerate(SIZES)}))
    figure = plots.pareto_scatter(rows)
    panel = figure.axes[0]
    assert panel.get_xlabel() == "area proxy (mm², 45 nm)"
    assert panel.get_ylabel() == "run time (million cycles)"
    front = next(line for line in panel.lines if line.get_drawstyle() == "steps-post")
    x, y = front.get_data()
    assert np.allclose(x, [0.1, 0.2, 0.4, 0.8])
    assert (np.diff(y) < 0).all(), "more area is on the front only where it saves time"
    assert [text.get_text() for text in panel.texts] == ["1", "2", "3", "4"]
    legend = texts(figure)
    assert legend[:4] == [*SCHEMES, "front"]
    assert legend[4:] == ["1: 64 KiB", "2: 32 KiB", "3: 128 KiB", "4: 1 MiB"], "what all of them share is left out"
    hollow = [line for line in panel.lines if line.get_markerfacecolor() == "none"]
    assert sum(len(line.get_xdata()) for line in hollow) == len(rows) - 4
    plots.render(figure)


def test_more_of_some_objectives_is_better_and_the_front_steps_the_other_way() -> None:
    rows = table((8,))
    figure = plots.pareto_scatter(rows, plots.SINGLE_COLUMN, x="bytes_moved", y="bytes_saved_percent")
    front = next(line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-pre")
    assert (np.diff(front.get_xdata()) >= 0).all()
    assert figure.axes[0].get_ylabel() == "bytes saved (%)"
    plots.render(figure)


def test_a_front_of_points_that_all_failed_is_refused() -> None:
    rows = table((8,), failed="32 KiB")
    with pytest.raises(ConfigError, match="no point of the sweep has a result"):
        plots.pareto_scatter(rows[rows["error"] != ""], x="bytes_moved")


@pytest.mark.parametrize("width", [plots.SINGLE_COLUMN, plots.DOUBLE_COLUMN])
def test_sensitivity_has_a_bar_an_axis_and_a_panel_a_number(width: float) -> None:
    figure = plots.sensitivity_bars(table(failed="32 KiB"), width)
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert [panel.get_title() for panel in panels] == ["bytes moved", "run time", "stalled", "energy"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["buffer size", "link bytes per cycle", "scheme", "together"]
    stalled = [bar.get_width() for bar in panels[2].patches]
    assert np.allclose(stalled[:3], [0, 100, 0]), "only the rate matters to stalls in this table"
    assert panels[2].texts[1].get_text() == "× 1.33"
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for panel in panels for text in panel.texts)
    plots.render(figure)


def test_long_names_of_schemes_do_not_run_into_each_other_over_maps() -> None:
    names = ("dense", "channel_marker:layout=packed", "channel_marker:printed=true,parts=linear")
    figure = plots.heat_map(table(schemes=names), value="stall_percent")
    figure.draw_without_rendering()
    boxes = [panel.title.get_window_extent() for panel in figure.axes if panel.get_title()]
    assert len(boxes) == 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_axes_that_go_in_step_are_one_axis() -> None:
    rows = table().assign(**{"accelerator.pe_array.rows": lambda frame: frame[RATE] // 2})
    order = [*rows.columns[: rows.columns.get_loc("error")], "accelerator.pe_array.rows"]
    rows = rows[[*order[:-1], "accelerator.pe_array.rows", *[name for name in rows.columns if name not in order]]]
    plots.render(plots.heat_map(rows, value="stall_percent"))
    assert "link bytes per cycle + pe array rows" in [label.get_text() for label in plots.sensitivity_bars(rows).axes[0].get_yticklabels()]


def test_numbers_that_hardly_differ_have_hardly_different_colours() -> None:
    rows = table()
    rows["stall_percent"] = 50 + 1e-4 * pd.Series(range(len(rows)), index=rows.index)
    figure = plots.heat_map(rows, value="stall_percent")
    low, high = figure.axes[0].images[0].get_clim()
    assert high - low >= 2
    assert low < 50 < high


def test_a_search_draws_combinations_that_show_something() -> None:
    """A search leaves most combinations of the further axes with one point, which is no curve."""
    rows = table()
    lone = rows[rows[SIZE] == rows[SIZE].iloc[0]].assign(**{RATE: "9 GB/s"})
    curves = [name for name, _ in plots.of_sweep(pd.concat([lone, rows], ignore_index=True)) if "_curves" in name]
    assert curves
    assert not any("9-GB-s" in name for name in curves)


@pytest.mark.parametrize("width", [plots.SINGLE_COLUMN, plots.DOUBLE_COLUMN])
def test_the_legend_of_a_front_is_not_cut_off(width: float) -> None:
    """Its entries name machines by many axes, which are longer than a column is wide."""
    rows = table()
    for axis in ("accelerator.pe_array.rows", "accelerator.dma.read_channels", "accelerator.dma.outstanding_requests"):
        rows.insert(rows.columns.get_loc("error"), axis, range(len(rows)))
    rows["error"], known = "", range(1, len(rows) + 1)
    rows["bytes_moved"], rows["total_cycles"] = [1000 * one for one in known], [100_000 // one for one in known]  # all of them on the front
    figure = plots.pareto_scatter(rows, width, x="bytes_moved", y="total_cycles")
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert any("\n" in text.get_text() for text in figure.legends[0].get_texts()) or width == plots.DOUBLE_COLUMN
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0


def test_curves_show_accuracy_in_place_of_stalls_where_it_changes() -> None:
    rows = judged()
    figure = plots.sweep_curves(rows[rows[SIZE] == "32 KiB"])
    assert [panel.get_ylabel() for panel in figure.axes] == [
        "bytes moved (MB)",
        "run time (million cycles)",
        "top-1 accuracy (%)",
        "bytes saved (%)",
    ]
    assert figure.axes[2].lines[0].get_ydata().tolist() == pytest.approx([90, 89, 86])
    still = rows[(rows[SIZE] == "32 KiB")].assign(accuracy=90.0)
    assert plots.sweep_curves(still).axes[2].get_ylabel() == "stalled (% of cycles)"
    plots.render(figure)


@pytest.mark.parametrize("width", [plots.SINGLE_COLUMN, plots.DOUBLE_COLUMN])
def test_the_front_of_traffic_and_accuracy_rises_to_the_right_on_an_even_scale(width: float) -> None:
    rows = judged()
    rows.loc[rows.index[:3], "accuracy"] = 5.0  # percentages that span much are no reason for a logarithm
    figure = plots.pareto_scatter(rows, width, x="bytes_moved", y="accuracy")
    panel = figure.axes[0]
    line = next(line for line in panel.lines if line.get_drawstyle() == "steps-pre")
    x, y = line.get_data()
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= 0).all()
    assert panel.get_yscale() == "linear"
    assert panel.get_ylabel() == "top-1 accuracy (%)"
    assert any(text.startswith("1: epsilon 0.2") for text in texts(figure))
    plots.render(figure)


def test_a_spread_over_images_has_a_band_a_scheme_but_for_the_baseline() -> None:
    rows = judged(images=5)
    figure = plots.spread_curves(rows[rows[SIZE] == "32 KiB"])
    saved, _ = figure.axes
    assert [panel.get_ylabel() for panel in figure.axes] == ["bytes saved (%)", "speed-up"]
    assert len(saved.collections) == len(SCHEMES) - 1
    assert len(saved.lines) == 3 * (len(SCHEMES) - 1), "the median, the least and the most"
    middle = saved.lines[0].get_ydata()
    assert middle.tolist() == pytest.approx([10 * (1.2 + epsilon) for epsilon in (0, 0.1, 0.2)])
    assert texts(figure) == ["channel_marker, median", "part_marker, median", "quartiles", "least, most"]
    assert "spread over 5 images against epsilon (buffer size 32 KiB)" in figure.get_suptitle()
    plots.render(figure)
    two = rows[rows["job"] < 3]
    with pytest.raises(ConfigError, match="needs at least 3 images, the table has 2"):
        plots.spread_curves(two)
    with pytest.raises(ConfigError, match="shows one network and an axis, the table has 2 networks"):
        plots.spread_curves(pd.concat([rows, rows.assign(network="other")]))


def test_of_many_images_a_few_have_figures_of_their_own_and_all_are_in_the_spread() -> None:
    names = [name for name, _ in plots.of_sweep(judged(images=6))]
    assert {name.partition("_")[0] for name in names} == {"1", "2", "3", "4", "net"}
    assert "1_net_photo0_front_accuracy_bytes_moved" in names
    spread = [name for name in names if name.startswith("net")]
    assert spread[:4] == [f"net_images_curves_{size.replace(' ', '-')}" for size in SIZES]
    assert len(spread) == 8, "and boxes at four of the combinations"
    assert not any(name.startswith("net") for name, _ in plots.of_sweep(judged(images=2)))


def test_titles_say_how_many_networks_or_images_a_figure_shows() -> None:
    rows = judged().assign(network=lambda frame: frame["epsilon"].map({0.0: "a", 0.1: "b", 0.2: "c"}))
    assert plots.pareto_scatter(rows, x="bytes_moved").get_suptitle().startswith("3 networks, photo0: ")
    assert plots.sensitivity_bars(rows, values=("bytes_moved", "accuracy")).get_suptitle().startswith("3 networks, photo0: ")


def test_accuracy_has_a_map_over_what_decides_it_and_none_over_the_machine() -> None:
    rows = judged()
    assert not any("accuracy" in name and "front" not in name for name, _ in plots.of_sweep(rows))
    rows.insert(int(rows.columns.get_loc(SIZE)), "mode", "channel")
    both = pd.concat([rows, rows.assign(mode="part", accuracy=rows["accuracy"] - 1)], ignore_index=True)
    figures = dict(plots.of_sweep(both[both[SIZE] == "32 KiB"]))
    name = "1_net_photo0_accuracy_32-KiB"
    (panel,) = [axes for axes in figures[name].axes if axes.get_title()]
    assert panel.get_title() == "under every scheme"
