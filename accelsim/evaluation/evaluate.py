"""Accuracy and reduction against epsilon, on many images: the paper's Tables 3 and 5, and what lies between them.

A setting is a mode with an epsilon for all layers, or one for each. Every setting runs on every image, closed loop: later layers see what
earlier ones lost. What has been measured is kept block by block (`evaluation.blocks`), so an interrupted evaluation goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from accelsim import inference, report, simulate
from accelsim.errors import ConfigError, choices, quoted
from accelsim.evaluation import evaluatefile
from accelsim.evaluation.blocks import Block, Measured, measure
from accelsim.evaluation.evaluatefile import Evaluate
from accelsim.evaluation.samples import Sample, samples
from accelsim.evaluation.tally import Tally
from accelsim.graph import Graph
from accelsim.networks.network import Network
from accelsim.workers import Workers, workers

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Setting:
    """What is done to the data: `epsilon` for all layers, or by layer name. `name`: what tables call it."""

    name: str
    mode: str
    epsilon: inference.Epsilon


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What was found.

    `table`: a row for each setting; `layers`: a row for each setting and layer; `images`: a row for each setting and image;
    `chosen`: the epsilons that were chosen, by mode and layer.
    Units:   per cent, points of a per cent, elements; see `evaluation.tally` for the columns
    """

    table: pd.DataFrame
    layers: pd.DataFrame
    images: pd.DataFrame
    chosen: Mapping[str, Mapping[str, float]]
    folder: Path

    def __repr__(self) -> str:
        return f"Evaluation({len(self.table)} settings, results in {self.folder})\n{self.table.to_string(index=False)}"


def evaluate(
    file: str | Path | Evaluate,
    overrides: Sequence[str] = (),
    *,
    results: str | Path | None = None,
    figures: bool = True,
    progress: Progress = silent,
) -> Evaluation:
    """Do what an evaluate file asks for, and write its results folder: accuracy.csv, by_layer.csv, images.csv, config.yaml, figures.

    `overrides`: `dotted.path=value`; `results` overrides that key.
    Raises:  `ConfigError`, `ModelError` for what the user can mend
    """
    asked = file if isinstance(file, Evaluate) else evaluatefile.load(file, overrides)
    folder = Path(results) if results is not None else asked.results
    report.require_writable(folder)
    found = samples(asked)
    network = simulate.load_network(asked.network_file())
    settings = plan(asked, network.graph)
    with workers(measure, asked.processes) as crew:
        bench = _Bench(asked, network, found, folder / "blocks", crew, progress)
        tally = Tally(network.graph)
        for setting, measured in bench.measure_all(settings):
            tally.add(setting.name, setting.mode, setting.epsilon, measured)
        chosen: dict[str, Mapping[str, float]] = {}
        if asked.auto is not None:
            for mode in asked.modes:
                chosen[mode] = choose(bench, mode)
                ((setting, measured),) = bench.measure_all([Setting("auto", mode, chosen[mode])])
                tally.add(setting.name, mode, setting.epsilon, measured)
    outcome = Evaluation(tally.table(), tally.layers(), tally.images(), chosen, folder)
    _write(outcome, asked.model_copy(update={"results": folder}), figures)
    return outcome


def plan(asked: Evaluate, graph: Graph) -> list[Setting]:
    """Settings of an evaluate file, but for those that are chosen. Raises `ConfigError` for a layer that the network has not."""
    settings = [Setting(f"{epsilon:g}", mode, epsilon) for mode in asked.modes for epsilon in asked.all_epsilons()]
    if asked.layer_epsilons is not None:
        by_layer = _by_layer(asked.layer_epsilons, graph)
        settings += [Setting("by layer", mode, by_layer) for mode in asked.modes]
    return settings


def choose(bench: _Bench, mode: str) -> dict[str, float]:
    """Choose an epsilon for each layer greedily, as `evaluatefile.Auto` says: deterministic, so that it can go on where it was."""
    auto = bench.asked.auto or evaluatefile.Auto()
    images = bench.samples[: auto.images]
    needed = bench.right(Setting("0", mode, 0.0), images) - auto.budget * len(images) / 100
    layers = inference.prunable(bench.network.graph)
    chosen: dict[str, float] = {}
    for done, node in enumerate(layers):
        for candidate in sorted(set(auto.candidates), reverse=True):
            bench.progress(f"choose the epsilon of {node.name} ({mode}): {candidate:g}?", done, len(layers))
            if bench.right(Setting("trial", mode, {**chosen, node.name: candidate}), images) >= needed:
                chosen[node.name] = candidate
                break
    return chosen


class _Bench:
    """Where settings are measured."""

    def __init__(
        self, asked: Evaluate, network: Network, found: Sequence[Sample], store: Path, crew: Workers[Block, Path], progress: Progress
    ) -> None:
        self.asked = asked
        self.network = network
        self.samples = found
        self.progress = progress
        self._store = store
        self._crew = crew

    def measure_all(
        self, settings: Sequence[Setting], images: Sequence[Sample] | None = None, quiet: bool = False
    ) -> list[tuple[Setting, Measured]]:
        """Measure settings on images, all if not given; blocks that are in the store are read from it."""
        of_setting = {
            setting.name + setting.mode: self._blocks(setting, self.samples if images is None else images) for setting in settings
        }
        blocks = [block for each in of_setting.values() for block in each]
        missing = [block for block in blocks if block.stored() is None]
        what = f"evaluate {self.network.graph.name} on {len(self.samples):,} images"
        if not quiet:
            self.progress(what, len(blocks) - len(missing), len(blocks))
        for done, _ in enumerate(self._crew.run(missing), len(blocks) - len(missing) + 1):
            if not quiet:
                self.progress(what, done, len(blocks))
        result = []
        for setting in settings:
            parts = [block.stored() for block in of_setting[setting.name + setting.mode]]
            result.append((setting, Measured.joined([part for part in parts if part is not None])))
        return result

    def right(self, setting: Setting, images: Sequence[Sample]) -> int:
        """Images whose best output is the right one."""
        ((_, measured),) = self.measure_all([setting], images, quiet=True)
        return measured.right(1)

    def _blocks(self, setting: Setting, images: Sequence[Sample]) -> list[Block]:
        size, network = self.asked.block, self.asked.network_file()
        identity = tuple(sorted((key, value) for key, value in self.network.provenance.items()))
        epsilon = tuple(sorted(setting.epsilon.items())) if isinstance(setting.epsilon, Mapping) else setting.epsilon
        return [
            Block(network, identity, tuple(images[start : start + size]), setting.mode, epsilon, self.asked.part, self._store)
            for start in range(0, len(images), size)
        ]


def _by_layer(given: Mapping[str, float] | Sequence[float], graph: Graph) -> dict[str, float]:
    names = [node.name for node in inference.prunable(graph)]
    if not isinstance(given, Mapping):
        if len(given) != len(names):
            raise ConfigError(f"layer_epsilons: {len(given)} numbers\n    {graph.name} needs {len(names)}: {', '.join(names)}")
        return dict(zip(names, given, strict=True))
    result: dict[str, float] = {}
    for pattern, epsilon in given.items():
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise ConfigError(
                f"layer_epsilons: {quoted(pattern)} is no layer of {graph.name} that is overwritten\n    {choices(names, pattern)}"
            )
        result |= dict.fromkeys(matching, float(epsilon))
    return result


def _write(outcome: Evaluation, asked: Evaluate, figures: bool) -> None:
    files: dict[str, bytes] = {}
    if figures:
        from accelsim import plots

        files |= dict(plots.files([("epsilon_curve", plots.epsilon_curve(outcome.table))]))
    if outcome.chosen:
        files["chosen.yaml"] = evaluatefile.dump_chosen(outcome.chosen)
    tables = {"by_layer.csv": outcome.layers, "images.csv": outcome.images, "accuracy.csv": outcome.table}
    files |= {name: frame.to_csv(index=False, lineterminator="\n").encode() for name, frame in tables.items()}
    report.write_files(outcome.folder, {"config.yaml": evaluatefile.describe(asked).encode(), **files})
