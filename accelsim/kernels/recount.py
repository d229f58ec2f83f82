"""Requests, bytes and link packets of descriptors, counted plainly: the independent second look at what the replay loop moved."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Int = NDArray[np.int64]


class Descriptors(NamedTuple):
    """Columns int64 [descriptors], bytes and counts."""

    address: Int
    row_bytes: Int
    rows: Int
    row_pitch: Int
    planes: Int
    plane_pitch: Int


class Limits(NamedTuple):
    """Bytes: of an access, a request, between boundaries, of a link packet."""

    access: int
    burst: int
    boundary: int
    payload: int


@kernel
def recount(descriptors: Descriptors, limits: Limits, jobs: Int, counted: Int) -> None:
    """Count requests (column 0), moved bytes (1) and link packets (2) of some transfers.

    Shapes:  jobs int64 [n, 3]: transfer, its first descriptor and the one after its last; counted int64 [transfers, 3], zeros on entry
    Raises:  nothing; the caller has checked that sizes are positive and `burst`, `boundary` multiples of `access`
    """
    for k in range(jobs.shape[0]):
        for d in range(jobs[k, 1], jobs[k, 2]):
            recount_descriptor(descriptors, limits, d, counted[jobs[k, 0]])


@kernel
def recount_descriptor(descriptors: Descriptors, limits: Limits, d: int, counted: Int) -> None:
    """Add descriptor `d` to `counted` [3]."""
    access, burst, boundary, payload = limits
    row, rows, planes = descriptors.row_bytes[d], descriptors.rows[d], descriptors.planes[d]
    if rows == 1 or descriptors.row_pitch[d] == row:
        row, rows = row * rows, 1
        if planes == 1 or descriptors.plane_pitch[d] == row:
            row, planes = row * planes, 1
    for p in range(planes):
        for r in range(rows):
            low = descriptors.address[d] + p * descriptors.plane_pitch[d] + r * descriptors.row_pitch[d]
            at = low - low % access
            stop = low + row + (-(low + row)) % access
            while at < stop:
                cut = min(stop, at + burst, at - at % boundary + boundary)
                counted[0] += 1
                counted[1] += cut - at
                counted[2] += (cut - at + payload - 1) // payload
                at = cut
