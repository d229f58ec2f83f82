"""How every figure looks, and how it becomes files. Nothing here keeps state: settings hold while a figure is drawn or saved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from pathlib import Path as FilePath
from textwrap import wrap
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from accelsim.errors import ConfigError, choices

SINGLE_COLUMN, DOUBLE_COLUMN = 3.5, 7.2
"""Widths of a figure in a two-column paper, inches."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where a figure is shown. Units: `width` inches as it is laid out, `dpi` dots of the PNG an inch of that."""

    width: float
    dpi: float


LOOKS = {"paper": Look(DOUBLE_COLUMN, 200), "column": Look(SINGLE_COLUMN, 200), "screen": Look(6.4, 300)}
"""By name: across both columns of a paper, in one of them, or on a slide (1,920 pixels wide, larger text)."""


def look(name: str) -> Look:
    """The look of that name. Raises `ConfigError` for another."""
    if name not in LOOKS:
        raise ConfigError(f"style: {name!r} is not a style of figures\n    {choices(list(LOOKS), name)}")
    return LOOKS[name]


COLOURS = {
    "ifmap": "#0072B2",
    "filter": "#E69F00",
    "ofmap": "#009E73",
    "output": "#009E73",
    "metadata": "#D55E00",
    "psum": "#CC79A7",
    "fill/drain": "#CC79A7",
    "burst rounding": "#999999",
    "start": "#F0E442",
    "bank conflict": "#56B4E9",
    "kept": "#56B4E9",
    "zero": "#0072B2",
    "live": "#DCEBF5",
    "absent": "#B0B0B0",
    "with": "#0072B2",
    "saved": "#E69F00",
    "read": "#0072B2",
    "written": "#009E73",
    "MACs": "#56B4E9",
    "buffer": "#009E73",
    "link": "#F0E442",
    "DRAM": "#D55E00",
    "static": "#999999",
}
"""Colour-blind safe; one thing has one colour in all figures. Source: Okabe and Ito, Color Universal Design, 2008."""
SCHEME_COLOURS = ("#999999", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00")
HATCHES = ("", "/////", ".....", "xxxxx", "-----", "|||||")
"""One for each scheme, the yardstick plain: they tell schemes apart in grey print."""
PREFIXES = ("", "k", "M", "G", "T")
INK = "#202020"
NBSP = "\N{NO-BREAK SPACE}"
TITLE_LINE, LEGEND_LINE = 0.14, 0.15
"""Heights of a line of the title and of the legend, inches."""
CHARACTER = 0.057
"""Width of a character of 7 pt text on average, inches."""

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so a figure is the same everywhere
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "figure.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "svg.hashsalt": "accelsim",
    "svg.fonttype": "path",
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}

P = ParamSpec("P")
Numbers = NDArray[np.float64]


@contextmanager
def _settings() -> Iterator[None]:
    """matplotlib's own defaults and ours on top, whatever the user's matplotlibrc says; undone afterwards."""
    # Any: matplotlib's own type of this mapping spells out every key, another set in each of its versions.
    settings: Any = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if not name.startswith("backend")}
    with mpl.rc_context(settings | STYLE):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a drawing function run under this style."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _settings():
            return draw(*args, **kwargs)

    return drawn


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that lays itself out; it belongs to nobody but the caller. Units: inches."""
    return Figure(figsize=(width, height), layout="constrained")


def draw_bars(axes: Axes, middles: Numbers, heights: Numbers, width: float, bottom: Numbers | float = 0.0, **look: Any) -> None:
    """Draw bars of one look as one path: much cheaper than a patch a bar, and the same picture. Bars of no height are left out."""
    shown = heights != 0
    if not shown.any():
        return
    left, low = middles[shown] - width / 2, np.broadcast_to(bottom, heights.shape)[shown]
    right, high = left + width, low + heights[shown]
    corners = np.stack([np.stack([left, right, right, left, left], 1), np.stack([low, low, high, high, low], 1)], axis=2)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], Path.code_type), len(left))
    bars = PathPatch(Path(corners.reshape(-1, 2), codes), edgecolor=INK, linewidth=0, zorder=2, snap=True, **look)
    bars.sticky_edges.y.append(0)
    axes.add_artist(bars)
    axes.update_datalim(corners.reshape(-1, 2))
    axes.autoscale_view()


def render(figure: Figure, dpi: float = LOOKS["paper"].dpi) -> dict[str, bytes]:
    """The figure's files by suffix, `png` (of `dpi` dots an inch) and `svg`: the same bytes whenever the figure is the same.

    Panels are laid out once, for the PNG; the figure keeps that layout.
    """
    files = {}
    with _settings():
        engine = figure.get_layout_engine()
        if engine is not None:
            usual = figure.get_dpi()
            figure.set_dpi(dpi)
            engine.execute(figure)
            figure.set_layout_engine(None)
            figure.set_dpi(usual)
        for suffix, metadata in (("png", {"Software": "accelsim"}), ("svg", {"Date": None, "Creator": "accelsim"})):
            stream = BytesIO()
            figure.savefig(stream, format=suffix, dpi=dpi, metadata=metadata)
            files[suffix] = stream.getvalue()
    return files


def save(figure: Figure, folder: FilePath, name: str) -> tuple[FilePath, ...]:
    """Write `name.png` and `name.svg` into `folder`, whole files only. Raises `OSError` where it cannot."""
    paths = []
    for suffix, content in render(figure).items():
        path = FilePath(folder) / f"{slug(name)}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        paths.append(path)
    return tuple(paths)


def slug(name: str) -> str:
    """A file name made of letters, digits, dots, dashes and underscores, whatever a network or an image is called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:120] or "figure"


def plain(text: str) -> str:
    """Text as matplotlib will show it: `$` is a dollar, and a character the font lacks becomes '?'."""
    glyphs = get_font(findfont(FontProperties(family=STYLE["font.family"])))
    shown = "".join(char if glyphs.get_char_index(ord(char)) else "?" for char in text)
    return shown.replace("$", r"\$")


def title(figure: Figure, what: str, source: str) -> None:
    """Title the figure with what it shows and what stands behind the data, wrapped to its width; the figure grows by the extra lines."""
    # A wide character of 8 pt DejaVu Sans takes 0.07 inches.
    room = max(20, int(figure.get_figwidth() / 0.07))
    what, source = plain(what), f"source: {plain(source)}"
    whole = f"{what} ({source})"
    lines = [whole] if len(whole) <= room else [*wrap(what, room), *wrap(source, room)]
    figure.suptitle("\n".join(lines))
    figure.set_figheight(figure.get_figheight() + TITLE_LINE * (len(lines) - 1))


def epsilon(value: float) -> str:
    """The epsilon of a trace for a title; it is not broken over lines."""
    return f"ε{NBSP}={NBSP}{value:g}"


def scaled(largest: float, unit: str, names: Sequence[str] = PREFIXES) -> tuple[float, str]:
    """Divisor and unit in which numbers up to `largest` read best: 2_500_000, 'B' gives 1e6, 'MB'."""
    step = 0
    while largest >= 1000 ** (step + 1) and step + 1 < len(names):
        step += 1
    return 1000.0**step, f"{names[step]}{unit}"


def short_name(layer: str, kind: str, longest: int = 16) -> str:
    """A layer's name for an axis: '003_convolutional' becomes '003 conv'; long ones lose their middle."""
    number = re.fullmatch(r"(\d+)_(\w+)", layer)
    text = f"{number[1]} {kind}" if number else layer
    half = (longest - 1) // 2
    return plain(text if len(text) <= longest else f"{text[:half]}…{text[-half:]}")


def drawn_width(width: float) -> float:
    """Inches between the y labels and the right edge of a figure of that width, about."""
    return width - 0.7


def label_layers(axes: Axes, names: Sequence[str]) -> None:
    """Name the layers along x, upright where all names fit so; else turned, and if need be only every 2nd, 5th, 10th ... of them.

    The figure grows by what turned names take, so that its panels keep their height.
    """
    figure = axes.get_figure(root=True)
    room = drawn_width(figure.get_figwidth() if figure else DOUBLE_COLUMN)
    longest = CHARACTER * max(map(len, names), default=0)
    if len(names) * (longest + 0.1) <= room:
        axes.set_xticks(range(len(names)), names)
    else:
        most = max(1, int(room / 0.125))  # a turned 7 pt line takes 0.125 inches
        step = next(step for step in (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, len(names)) if len(names) / step <= most)
        axes.set_xticks(range(0, len(names), step), names[::step], rotation=90)
        if step > 1:
            axes.set_xticks(range(len(names)), minor=True)
        if figure:
            figure.set_figheight(figure.get_figheight() + longest)
    axes.set_xlim(-0.6, max(len(names), 1) - 0.4)
    axes.set_xlabel("layer")


def scheme_patches(schemes: Sequence[str]) -> list[Patch]:
    """Legend entries that tell schemes apart by hatch, in the order of the bars from left to right."""
    return [
        Patch(facecolor="white", edgecolor=INK, linewidth=0.5, hatch=hatch, label=plain(scheme))
        for scheme, hatch in zip(schemes, HATCHES, strict=False)
    ]


def legend_below(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend under the axes, outside the data, in as many columns as the width allows; the figure grows by its lines.

    Where one column is too wide, its labels are folded.
    """
    columns = next(count for count in range(len(handles), 0, -1) if count == 1 or _legend_width(handles, count) < figure.get_figwidth())
    lines = -(-len(handles) // columns)
    if columns == 1:
        room = max(8, int((figure.get_figwidth() - 0.6) / CHARACTER))
        folded = [wrap(str(handle.get_label()), room) for handle in handles]
        for handle, label in zip(handles, folded, strict=True):
            handle.set_label("\n".join(label))
        lines = sum(map(len, folded))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * lines)


def _legend_width(handles: Sequence[Any], columns: int) -> float:
    """Inches of a legend filled column by column, as matplotlib does: the first columns take what is left over."""
    lengths = [len(str(handle.get_label())) for handle in handles]
    each, longer = divmod(len(lengths), columns)
    total, start = 0.2, 0
    for column in range(columns):
        stop = start + each + (column < longer)
        total += 0.36 + CHARACTER * max(lengths[start:stop])
        start = stop
    return total
