"""The tables of all layers put together, with everything renumbered."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from accelsim.schedule.fetch import Job, Traffic
from accelsim.schedule.pieces import Pool
from accelsim.schedule.plan import Fillings
from accelsim.schedule.runs import NO_JOBS, Int
from accelsim.schedule.tables import FILTER, IFMAP, NONE, OFMAP, Blocks, Descriptors, Layers, Schedule, Tiles, Transfers

CLASSES = (IFMAP, FILTER, OFMAP)


@dataclass(eq=False)
class Assembly:
    """Collects the tables of layers in order. `drains`: whether the buffer is carved anew for each layer."""

    drains: bool
    pool: Pool = field(default_factory=Pool)
    _layers: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    _tiles: list[dict[str, Int]] = field(default_factory=list)
    _blocks: dict[int, list[dict[str, Int]]] = field(default_factory=lambda: {tensor: [] for tensor in CLASSES})
    _transfers: list[dict[str, Int]] = field(default_factory=list)
    _tile: int = 0
    _transfer: int = 0
    _block: dict[int, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))

    def add(self, node: int, job: Job, moved: Traffic) -> None:
        """Append a layer."""
        plan, work, number = job.plan, job.work, len(self._layers)
        tiles = plan.at.shape[1]
        self._layers.append((node, self._tile, self._tile + tiles, int(self.drains and number > 0), plan.layer.macs))
        dense = plan.length(0)[plan.at[0]] * plan.length(1)[plan.at[1]] * plan.length(2)[plan.at[2]] * plan.length(3)[plan.at[3]]
        dense = dense * plan.length(4)[plan.at[4]] * (plan.layer.taps if plan.layer.weights else 0)
        fillings = {IFMAP: plan.ifmap, OFMAP: plan.ofmap} | ({FILTER: plan.filter} if job.filters is not None else {})
        every = np.full(tiles, NONE, dtype=np.int64)
        self._tiles.append(
            {
                "layer": np.full(tiles, number, dtype=np.int64),
                "busy_cycles": work.busy,
                "fill_cycles": work.fill,
                **{
                    f"{name}_block": self._block[tensor] + fillings[tensor].of_tile if tensor in fillings else every
                    for name, tensor in (("ifmap", IFMAP), ("filter", FILTER), ("ofmap", OFMAP))
                },
                "metadata": np.full(tiles, _shift(moved.markers, self._transfer), dtype=np.int64),
                "macs_done": work.macs,
                "macs_skipped": dense - work.macs,
            }
        )
        self._add_transfers(moved.columns, number)
        for tensor, of in fillings.items():
            self._add_blocks(tensor, of, moved, number)
        self._tile += tiles
        self._transfer += len(moved.columns["tile"])

    def _add_transfers(self, columns: dict[str, Int], number: int) -> None:
        moved = dict(columns)
        moved["layer"] = np.full(len(columns["tile"]), number, dtype=np.int64)
        moved["tile"] = columns["tile"] + self._tile
        moved["wait_transfer"] = _shifted(columns["wait_transfer"], self._transfer)
        base = np.array([self._block[tensor] for tensor in CLASSES] + [0], dtype=np.int64)[columns["tensor"]]
        moved["block"] = np.where(columns["block"] == NONE, NONE, columns["block"] + base)
        self._transfers.append(moved)

    def _add_blocks(self, tensor: int, of: Fillings, moved: Traffic, number: int) -> None:
        count = of.first.size
        missing = np.full(count, NONE, dtype=np.int64)
        self._blocks[tensor].append(
            {
                "tensor": np.full(count, tensor, dtype=np.int64),
                "order": self._block[tensor] + np.arange(count, dtype=np.int64),
                "layer": np.full(count, number, dtype=np.int64),
                "bytes": of.size,
                "load": _shifted(moved.load[tensor], self._transfer),
                "store": _shifted(moved.store.get(tensor, missing), self._transfer),
                "first_tile": of.first + self._tile,
                "last_tile": of.last + self._tile,
            }
        )
        self._block[tensor] += count

    def schedule(
        self,
        *,
        scheme: str,
        names: tuple[str, ...],
        kinds: tuple[str, ...],
        slots: tuple[int, int, int],
        fused: dict[str, str],
        notes: tuple[str, ...],
        tilings: tuple[str, ...],
    ) -> Schedule:
        """All layers in one. Blocks are numbered class by class."""
        first = np.cumsum([0, *(self._block[tensor] for tensor in CLASSES)])[:3].astype(np.int64)
        tiles, transfers = _concatenated(self._tiles), _concatenated(self._transfers)
        for name, tensor in (("ifmap", IFMAP), ("filter", FILTER), ("ofmap", OFMAP)):
            tiles[f"{name}_block"] = _shifted(tiles[f"{name}_block"], int(first[tensor]))
        base = np.append(first, 0)[transfers["tensor"]]
        transfers["block"] = np.where(transfers["block"] == NONE, NONE, transfers["block"] + base)
        layers = np.array(self._layers, dtype=np.int64).reshape(-1, 5).T.copy()
        jobs = np.concatenate([NO_JOBS, *self.pool.jobs]).T.copy()
        return Schedule(
            scheme=scheme,
            names=names,
            kinds=kinds,
            layers=Layers(*layers),
            tiles=Tiles(**tiles),
            blocks=Blocks(**_concatenated([part for tensor in CLASSES for part in self._blocks[tensor]])),
            transfers=Transfers(**transfers),
            descriptors=Descriptors(*jobs),
            slots=slots,
            fused=fused,
            notes=notes,
            tilings=tilings,
        )


def _shift(number: int, base: int) -> int:
    return NONE if number == NONE else number + base


def _shifted(numbers: Int, base: int) -> Int:
    return np.where(numbers == NONE, NONE, numbers + base)


def _concatenated(tables: list[dict[str, Int]]) -> dict[str, Int]:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
