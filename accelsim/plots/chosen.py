"""The rows of a layers table that one figure shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.errors import ConfigError
from accelsim.plots.style import HATCHES, short_name, slug

Numbers = NDArray[np.float64]

GROUP, GAP = 0.84, 0.03
"""Width of a layer's group of bars, and the gap between two bars of it; the distance of layers is 1."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """One network on one image under a few schemes, the yardstick first."""

    network: str
    image: str
    source: str
    schemes: tuple[str, ...]
    names: tuple[str, ...]
    frames: tuple[pd.DataFrame, ...]

    @classmethod
    def of(cls, layers: pd.DataFrame) -> Chosen:
        """Judge a table of layers (the columns of `layers.csv`).

        Raises:  `ConfigError` where it holds more or less than one network and image, too many schemes, or schemes with other layers.
        """
        if layers.empty:
            raise ConfigError("a figure needs at least one layer; the table has none")
        for column in ("network", "image", "source"):
            found = list(dict.fromkeys(layers[column]))
            if len(found) > 1:
                raise ConfigError(f"a figure shows one {column}, the table has {', '.join(map(str, found))}\n    choose the rows of one")
        schemes = tuple(dict.fromkeys(layers["scheme"]))
        if len(schemes) > len(HATCHES):
            raise ConfigError(f"a figure shows at most {len(HATCHES)} schemes, the table has {len(schemes)}\n    choose the rows of fewer")
        frames = tuple(layers[layers["scheme"] == scheme].reset_index(drop=True) for scheme in schemes)
        first = frames[0]
        for scheme, frame in zip(schemes, frames, strict=True):
            if list(frame["layer"]) != list(first["layer"]):
                raise ConfigError(f"schemes {schemes[0]} and {scheme} have different layers\n    choose rows of one trace")
        names = tuple(short_name(layer, kind) for layer, kind in zip(first["layer"], first["kind"], strict=True))
        return cls(first["network"][0], first["image"][0], first["source"][0], schemes, names, frames)

    def what(self, shown: str) -> str:
        """What a figure shows, and of what."""
        return f"{self.network}, {self.image}: {shown}"

    def sum_of(self, columns: Sequence[str], scheme: int) -> Numbers:
        """Sum of columns for each layer under the scheme of that number."""
        total: Numbers = self.frames[scheme][list(columns)].sum(axis=1).to_numpy(np.float64)
        return total

    def middles(self, scheme: int, schemes: int) -> Numbers:
        """Middles of one scheme's bars where `schemes` of them stand side by side; layer n's group stands around n."""
        return np.arange(len(self.names), dtype=np.float64) + (scheme - (schemes - 1) / 2) * GROUP / schemes

    @staticmethod
    def bar_width(schemes: int) -> float:
        """Width of a bar where `schemes` of them stand side by side; the distance of layers is 1."""
        return GROUP / schemes - (GAP if schemes > 1 else 0)


def split(layers: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """File name and rows for each network and image in the table, in order of appearance.

    More schemes than a figure can show are dealt out over several (`name`, `name_2`, ...), each beside the yardstick.
    """
    for (network, image), rows in layers.groupby(["network", "image"], sort=False):
        first, *others = dict.fromkeys(rows["scheme"])
        name, each = slug(f"{network}_{image}"), len(HATCHES) - 1
        for page, start in enumerate(range(0, max(len(others), 1), each), 1):
            shown = rows[rows["scheme"].isin([first, *others[start : start + each]])]
            yield name if page == 1 else f"{name}_{page}", shown.reset_index(drop=True)
