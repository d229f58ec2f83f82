"""Several replays of one trace on one machine, side by side; the first is the yardstick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from accelsim.errors import ConfigError
from accelsim.hardware import Accelerator
from accelsim.report.result import Result
from accelsim.report.slowdown import Slowdown

if TYPE_CHECKING:
    import pandas as pd

SIDE_BY_SIDE = ("total_cycles", "stall_cycles", "bytes_moved", "macs_done", "energy_nj")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Results of the same trace on the same machine under different schemes.

    `results[0]` is the yardstick: `dense`, where it was replayed. Ratios are scheme / yardstick; below 1 the scheme is better.
    """

    results: tuple[Result, ...]

    @classmethod
    def of(cls, results: Iterable[Result]) -> Comparison:
        """Compare results, dense first, the others in the order given.

        Raises:  `ConfigError` where they do not belong together.
        """
        return cls(tuple(sorted(results, key=lambda result: result.scheme != "dense")))

    def __post_init__(self) -> None:
        if not self.results:
            raise ConfigError("a comparison needs at least one result: replay at least one scheme")
        first = self.results[0]
        for other in self.results[1:]:
            for what in ("network", "image", "source", "epsilon", "mode"):
                if getattr(first, what) != getattr(other, what):
                    raise ConfigError(
                        f"results of different traces cannot be compared: {what} {getattr(first, what)!r} ({first.scheme}) and "
                        f"{getattr(other, what)!r} ({other.scheme})\n    replay both schemes on one trace"
                    )
            if first.accelerator != other.accelerator:
                raise ConfigError(
                    f"results of different machines cannot be compared: {first.accelerator.name!r} ({first.scheme}) and "
                    f"{other.accelerator.name!r} ({other.scheme})\n    replay both schemes on one accelerator"
                )
            if [row.layer for row in first.layers] != [row.layer for row in other.layers]:
                raise ConfigError(
                    f"{first.scheme} and {other.scheme} have different layers: one of them comes from another version of the trace\n"
                    "    replay both schemes on one trace"
                )
        schemes = [result.scheme for result in self.results]
        for scheme in schemes:
            if schemes.count(scheme) > 1:
                raise ConfigError(f"scheme {scheme!r} is there {schemes.count(scheme)} times\n    give each scheme once")

    @property
    def baseline(self) -> Result:
        """The yardstick."""
        return self.results[0]

    @property
    def schemes(self) -> tuple[str, ...]:
        """Names of the schemes, the yardstick first."""
        return tuple(result.scheme for result in self.results)

    @property
    def network(self) -> str:
        """Name of the network."""
        return self.baseline.network

    @property
    def image(self) -> str:
        """Name of the image."""
        return self.baseline.image

    @property
    def source(self) -> str:
        """What stands behind the data: 'inference', 'published statistics' or 'synthetic'."""
        return self.baseline.source

    @property
    def accelerator(self) -> Accelerator:
        """The machine."""
        return self.baseline.accelerator

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions of all replays, each once."""
        return tuple(dict.fromkeys(note for result in self.results for note in result.notes))

    def result(self, scheme: str) -> Result:
        """Result of one scheme. Raises `ConfigError` for a scheme that was not replayed."""
        for result in self.results:
            if result.scheme == scheme:
                return result
        raise ConfigError(f"scheme {scheme!r} was not replayed for {self.network}, {self.image}\n    allowed: {', '.join(self.schemes)}")

    def ratios(self, scheme: str) -> Mapping[str, float | None]:
        """Scheme over yardstick: bytes wanted and moved, total and stalled cycles, MACs done, energy; `speed_up` is the inverse of cycles.

        None where the yardstick has none of it.
        """
        result, base = self.result(scheme), self.baseline
        ratios = {
            name: ratio(result.totals[name], base.totals[name]) for name in ("bytes_wanted", "bytes_moved", "total_cycles", "macs_done")
        }
        ratios["stall_cycles"] = ratio(result.stall_cycles, base.stall_cycles)
        ratios["energy"] = ratio(result.energy_uj["total"], base.energy_uj["total"])
        ratios["speed_up"] = ratio(base.totals["total_cycles"], result.totals["total_cycles"])
        return ratios

    def slower_layers(self, scheme: str) -> Mapping[str, int]:
        """Layers that take longer than under the yardstick, and by how many cycles: removing work can lengthen a run."""
        return {found.layer: found.cycles for found in self.slowdowns(scheme)}

    def slowdowns(self, scheme: str) -> tuple[Slowdown, ...]:
        """Those layers with what they wait for, the one that loses most first."""
        pairs = zip(self.baseline.layers, self.result(scheme).layers, strict=True)
        found = [slow for base, row in pairs if (slow := Slowdown.of(base, row, self.accelerator.dma))]
        return tuple(sorted(found, key=lambda slow: -slow.cycles))

    def as_frame(self) -> pd.DataFrame:
        """One row per layer and scheme, the columns of `layers.csv`."""
        import pandas as pd

        return pd.concat([result.as_frame() for result in self.results], ignore_index=True)

    def bandwidth_frame(self) -> pd.DataFrame:
        """One row per scheme and window of its run, the columns of `bandwidth.csv`."""
        import pandas as pd

        return pd.concat([result.bandwidth_frame() for result in self.results], ignore_index=True)

    def totals(self) -> pd.DataFrame:
        """One row per scheme: totals, derived rates and ratios to the yardstick. Units are in the column names."""
        import pandas as pd

        rows = []
        for result in self.results:
            ratios = self.ratios(result.scheme)
            rows.append(
                {
                    "network": result.network,
                    "image": result.image,
                    "scheme": result.scheme,
                    "source": result.source,
                    "time_us": result.time_us,
                    "achieved_gb_per_s": result.achieved_gb_per_s,
                    "stall_percent": result.stall_percent,
                    "macs_skipped_percent": result.macs_skipped_percent,
                    "stall_cycles": result.stall_cycles,
                    **result.totals,
                    **{f"energy_{part}_uj".replace("_total", ""): value for part, value in result.energy_uj.items()},
                    **{(name if name == "speed_up" else f"{name}_ratio"): value for name, value in ratios.items()},
                    "slower_layers": len(self.slower_layers(result.scheme)),
                }
            )
        frame = pd.DataFrame(rows)
        return frame.astype({name: "float64" for name in frame.columns if name.endswith("_ratio") or name == "speed_up"})

    def side_by_side(self, scheme: str) -> pd.DataFrame:
        """One row per layer: yardstick, scheme, ratio of cycles, stalls, bytes moved, MACs done, energy (NaN where the yardstick has 0)."""
        frame = self.as_frame()
        frame["stall_cycles"] = frame["total_cycles"] - frame["busy_cycles"]
        base = frame[frame["scheme"] == self.baseline.scheme].reset_index(drop=True)
        other = frame[frame["scheme"] == self.result(scheme).scheme].reset_index(drop=True)
        out = base[["layer", "kind"]].copy()
        for name in SIDE_BY_SIDE:
            out[f"{name} {self.baseline.scheme}"] = base[name]
            if scheme != self.baseline.scheme:
                out[f"{name} {scheme}"] = other[name]
                out[f"{name} ratio"] = other[name] / base[name].where(base[name] > 0)
        return out

    def __repr__(self) -> str:
        lines = [f"Comparison({self.network}, {self.image}; source: {self.source}; accelerator: {self.accelerator.name})"]
        for result in self.results:
            ratios = self.ratios(result.scheme)
            lines.append(
                f"  {result.scheme:<16} {result.totals['bytes_moved'] / 1e6:>10,.3f} MB moved (x {_text(ratios['bytes_moved'])})  "
                f"{result.totals['total_cycles']:>14,} cycles (x {_text(ratios['total_cycles'])})  {result.stall_percent:5.1f} % stalled  "
                f"{result.time_us:,.1f} us  {result.energy_uj['total']:,.1f} uJ (x {_text(ratios['energy'])})"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        frame = self.totals()[
            [
                *("scheme", "bytes_moved", "bytes_moved_ratio", "total_cycles", "total_cycles_ratio", "speed_up", "stall_percent"),
                *("macs_skipped_percent", "time_us", "achieved_gb_per_s", "energy_uj", "energy_ratio", "slower_layers"),
            ]
        ]
        head = f"{self.network}, {self.image} on {self.accelerator.name} (source: {self.source})"
        return f"<p>{escape(head)}</p>" + frame.to_html(index=False, float_format=lambda value: f"{value:,.3f}")


def ratio(value: float, base: float) -> float | None:
    """`value / base`, or None where there is nothing to compare with."""
    return value / base if base else None


def _text(value: float | None) -> str:
    return "  -  " if value is None else f"{value:.3f}"
