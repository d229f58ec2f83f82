"""What a comparison with an independent table gives: a row per case, a verdict each, a summary by family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Verdict = Literal["pass", "MISS", "told"]
"""`told`: reported but not judged, because the reference itself is not settled there."""


@dataclass(frozen=True)
class Compared:
    """One case of a table.

    Units:   `error`: relative, model / reference - 1, or the absolute difference where the reference is 0.
    `faults`: what is beyond its tolerance, or why it is only told. `details`: further quantities, model and reference.
    """

    name: str
    family: str
    quantity: str
    model: float
    reference: float
    verdict: Verdict
    faults: tuple[str, ...] = ()
    details: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def error(self) -> float:
        """How far the model is off."""
        return difference(self.model, self.reference)

    @property
    def passed(self) -> bool:
        """Whether nothing that is judged is beyond its tolerance."""
        return self.verdict != "MISS"

    def __str__(self) -> str:
        """One line: model before the stroke, reference behind it."""
        parts = [f"{self.verdict}  {self.name}", f"{self.quantity} {self.model:,.5g}/{self.reference:,.5g} {100 * self.error:+.2f} %"]
        parts += [f"{name} {ours:,.4g}/{theirs:,.4g}" for name, (ours, theirs) in self.details.items()]
        return "  ".join([*parts, *self.faults])


@dataclass(frozen=True)
class Summary:
    """All rows of a family.

    Units:   `mean`, `most` of the absolute relative errors of the rows that are judged; `details`: means of further quantities, likewise
    """

    family: str
    rows: int
    told: int
    missed: int
    mean: float
    most: float
    faults: tuple[str, ...] = ()
    details: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        """One line."""
        told = f", {self.told} told" if self.told else ""
        missed = f", {self.missed} MISS" if self.missed else ""
        error = f"mean error {100 * self.mean:.2f} %, most {100 * self.most:.2f} %"
        means = ", ".join(f"{name} {100 * mean:.2f} %" for name, mean in self.details.items())
        beside = f"; beside it, means: {means}" if means else ""
        return "  ".join([f"{self.family}: {self.rows} rows{told}{missed}, {error}{beside}", *self.faults])


@dataclass(frozen=True)
class Comparison:
    """All rows of a table in its order. `mean_limits`: the largest mean error that a family may have."""

    rows: tuple[Compared, ...]
    mean_limits: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def summary(self) -> tuple[Summary, ...]:
        """By family, in the order of first appearance."""
        families: dict[str, list[Compared]] = defaultdict(list)
        for row in self.rows:
            families[row.family].append(row)
        return tuple(self._summary(name, rows) for name, rows in families.items())

    @property
    def passed(self) -> bool:
        """Whether no row missed and no family is beyond its mean."""
        return all(row.passed for row in self.rows) and not any(family.faults for family in self.summary)

    def lines(self) -> list[str]:
        """One line per row, one per family, and one that sums up."""
        missed, told = (sum(row.verdict == verdict for row in self.rows) for verdict in ("MISS", "told"))
        end = f"{len(self.rows) - missed} of {len(self.rows)} rows pass" + (f", {missed} miss" if missed else "")
        end += f"; {told} of them told, not judged" if told else ""
        return [*map(str, self.rows), *map(str, self.summary), end]

    def _summary(self, family: str, rows: list[Compared]) -> Summary:
        settled = [row for row in rows if row.verdict != "told"]
        errors = [abs(row.error) for row in settled] or [0.0]
        mean, limit = sum(errors) / len(errors), self.mean_limits.get(family)
        faults = () if limit is None or mean <= limit else (f"mean error beyond {100 * limit:g} %",)
        told, missed = (sum(row.verdict == verdict for row in rows) for verdict in ("told", "MISS"))
        details: dict[str, list[float]] = defaultdict(list)
        for row in settled:
            for name, pair in row.details.items():
                details[name].append(abs(difference(*pair)))
        means = {name: sum(found) / len(found) for name, found in details.items()}
        return Summary(family, len(rows), told, missed, mean, max(errors), faults, MappingProxyType(means))


def difference(model: float, reference: float) -> float:
    """Relative error, or the absolute one where the reference is 0."""
    return model / reference - 1 if reference else model


def judged(faults: list[str]) -> Verdict:
    """The verdict over a row with these faults."""
    return "MISS" if faults else "pass"
