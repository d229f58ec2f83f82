"""The accuracy of the networks of a sweep: each one, with its epsilon and mode, measured once on the labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from accelsim import simulate
from accelsim.designspace.sweepfile import Accuracy, Sweep
from accelsim.errors import ConfigError
from accelsim.evaluation.blocks import Block, Measured
from accelsim.evaluation.evaluatefile import Evaluate
from accelsim.evaluation.samples import samples
from accelsim.images import load_image, preprocess
from accelsim.networks.network import output_index
from accelsim.runfile import NetworkFile
from accelsim.sweeps.points import identity, sha256

FOLDER = "accuracy"
BLOCK: int = Evaluate.model_fields["block"].default
PART: tuple[int, int] = Evaluate.model_fields["part"].default
"""Parts of mode `part`, as `inference.record` overwrites them."""


@dataclass(frozen=True)
class Judged:
    """What is measured: a network with one epsilon, or one for each layer, and what of the data that overwrites."""

    network: NetworkFile
    epsilon: float | tuple[tuple[str, float], ...]
    mode: str


class Labels:
    """The labelled images of a sweep.

    Raises:  `ConfigError` where they cannot be found
    """

    def __init__(self, asked: Sweep, images: Accuracy, folder: Path) -> None:
        self._asked = asked
        self._images = images
        self._store = folder / FOLDER
        self.samples = samples(images)
        self._fitting: set[str] = set()
        self._blocks: dict[Judged, tuple[Block, ...]] = {}
        self._measured: dict[Judged, float] = {}

    def __repr__(self) -> str:
        return f"Labels({len(self.samples):,} images, measured in {self._store})"

    def blocks(self, how: Judged) -> tuple[Block, ...]:
        """All that is to be measured of a network."""
        if how not in self._blocks:
            seen = self._images.seen_by(how.network)
            made = (("network", sha256(identity(seen))),)
            parts = [self.samples[at : at + BLOCK] for at in range(0, len(self.samples), BLOCK)]
            self._blocks[how] = tuple(Block(seen, made, part, how.mode, how.epsilon, PART, self._store) for part in parts)
        return self._blocks[how]

    def top1(self, how: Judged) -> float | None:
        """Share of the images whose right output is the best, per cent; None where a block was not measured."""
        if how not in self._measured:
            blocks = self.blocks(how)
            parts = [part for part in (block.stored() for block in blocks) if part is not None]
            if len(parts) < len(blocks):
                return None
            self._measured[how] = 100 * Measured.joined(parts).right(1) / len(self.samples)
        return self._measured[how]

    def require_fit(self, network: NetworkFile) -> None:
        """Raise `ConfigError`, with place and remedy, where these images or their labels are not for this network."""
        seen = self._images.seen_by(network)
        key = sha256([seen.model_dump(mode="json", include={"darknet", "onnx", "zoo", "preprocessing"})])
        if key in self._fitting:
            return
        bare = seen.model_copy(update={"prune": None, "quantise": None, "synthetic_weights": None})
        graph = simulate.load_network(bare).graph
        outputs, first = graph.nodes[output_index(graph)].elements, self.samples[0]
        most = max(self.samples, key=lambda sample: sample.target or 0)
        place = f"{self._asked.accuracy_place}: sweep.accuracy"
        if most.target is not None and most.target >= outputs:
            text = f"the right output of {most.name} is number {most.target}, {graph.name} has 0 to {outputs - 1}"
            raise ConfigError(f"{place}: {text}\n    name images of its kind, or say which output means which label: outputs")
        shape = preprocess(load_image(first.source), seen.preprocessing).shape
        if shape != graph.nodes[0].shape:
            text = f"{first.name} becomes {list(shape)}, {graph.name} takes {list(graph.nodes[0].shape)}"
            raise ConfigError(f"{place}: {text}\n    name images of its kind, or what is done to them first: preprocessing")
        self._fitting.add(key)
