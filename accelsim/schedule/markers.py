"""Which maps' marker bits stay on chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def spilled(reads: Sequence[frozenset[int]], writes: Sequence[int], marker_bytes: Mapping[int, int], capacity: int) -> frozenset[int]:
    """Maps whose markers go through DRAM; all others fit into the marker memory from production to last use.

    Layers run in order; each claims room for the markers of the map it writes while those of the maps it reads are still held. Who comes
    first stays.
    Units:   `reads`, `writes`: maps by layer; bytes
    """
    last_use: dict[int, int] = {}
    for layer, maps in enumerate(reads):
        for index in maps:
            last_use[index] = layer
    held: dict[int, int] = {}
    out = set()
    for layer, index in enumerate(writes):
        size = marker_bytes.get(index, 0)
        if size and index in last_use and sum(held.values()) + size <= capacity:
            held[index] = size
        elif size:
            out.add(index)
        held = {kept: size for kept, size in held.items() if last_use[kept] > layer}
    return frozenset(out)
