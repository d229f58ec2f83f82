"""What the decoders and encoders of a scheme have to do, out of how fast it says they are (`EncodedMap.rate` and `latency`).

A codec works on bytes before encoding: for each stored byte of a transfer as many as a stored byte of its map, or maps, stands for on
average. Several maps that one layer reads together pass at the pace of the slowest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accelsim.schedule.fetch import Job
from accelsim.schedule.memory import MapRegion
from accelsim.schedule.tables import IFMAP, OFMAP, READ, WRITE, Codecs, Transfers
from accelsim.schemes.base import EncodedMap, unit_sizes


def codecs(transfers: Transfers, jobs: Sequence[Job]) -> Codecs | None:
    """What each transfer has to do with a codec; None where all keep up. `jobs`: of all layers."""
    maps = [[regions[part.node] for segments, _ in job.loaded for part in segments] for job in jobs for regions in (job.regions,)]
    if not any(is_coded(region.encoded) for regions in (*maps, [job.ofmap for job in jobs]) for region in regions):
        return None
    cycles, latency = np.zeros((2, transfers.tile.size), np.int64)
    sums = np.zeros(transfers.tile.size + 1, np.bool_)  # stores of partial sums: what a later read of them waits for
    sums[transfers.wait_transfer[(transfers.tensor == OFMAP) & (transfers.direction == READ)]] = True
    reads = (transfers.tensor == IFMAP) & (transfers.direction == READ)
    stores = (transfers.tensor == OFMAP) & (transfers.direction == WRITE) & ~sums[:-1]
    for layer, (job, loaded) in enumerate(zip(jobs, maps, strict=True)):
        for chosen, regions in ((reads, loaded), (stores, [job.ofmap])):
            coded = [region for region in regions if is_coded(region.encoded)]
            mine = np.flatnonzero(chosen & (transfers.layer == layer))
            if not coded or not mine.size:
                continue
            latency[mine] = max(region.encoded.latency for region in coded)
            rates = [region.encoded.rate for region in coded if region.encoded.rate]
            stored = sum(region.encoded.payload_bytes for region in regions)
            if rates and stored:
                work = transfers.bytes_wanted[mine] * sum(map(before_encoding, regions))
                cycles[mine] = -(-work // (stored * min(rates)))
    return Codecs(cycles, latency)


def is_coded(encoded: EncodedMap) -> bool:
    """Whether a map passes a codec that takes time."""
    return encoded.rate > 0 or encoded.latency > 0


def before_encoding(region: MapRegion) -> int:
    """Bytes that the stored units of a map have before encoding."""
    encoded = region.encoded
    channels = np.minimum(encoded.unit_channels, region.shape[0] - np.arange(0, region.shape[0], encoded.unit_channels))
    plane = unit_sizes(region.shape, encoded.unit_height, encoded.unit_width, region.bits)
    return int((np.multiply.outer(channels, plane) * (encoded.unit_bytes > 0)).sum())
