"""Run lengths: zeros before each value, as Eyeriss, EIE and their kin count them.

A pair is (zeros before, value). A run of more zeros than the field can say is cut by pairs whose value is itself a zero: (31, 0) stands for
32 zeros in a field of 5 bits.
"""

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import kernel

Int = NDArray[np.int64]
Words = NDArray[np.uint32]


@kernel
def count_pairs(nonzero: NDArray[np.bool_], edges: Int, longest: int, trailing: bool, pairs: Int) -> None:
    """Count the pairs of each stretch of elements, from its mask alone.

    Shapes:  nonzero bool [N]; edges int64 [U + 1], stretches edges[u]..edges[u + 1]; pairs int64 [U], overwritten
    Units:   elements; `longest`: most zeros that a pair can have before its value; `trailing`: zeros after the last value are coded too
    Raises:  nothing
    """
    for u in range(pairs.shape[0]):
        count, zeros = 0, 0
        for i in range(edges[u], edges[u + 1]):
            if nonzero[i] or zeros == longest:
                count += 1
                zeros = 0
            else:
                zeros += 1
        if not trailing:
            # Fillers after the last value are taken back: what is coded then ends with it.
            behind = 0
            for i in range(edges[u + 1] - 1, edges[u] - 1, -1):
                if nonzero[i]:
                    break
                behind += 1
            count -= behind // (longest + 1)
        elif zeros > 0:
            count += 1
        pairs[u] = count


@kernel
def encode_pairs(values: Words, longest: int, trailing: bool, runs: NDArray[np.uint8], levels: Words) -> int:
    """Write the pairs of one stretch; return how many.

    Shapes:  values uint32 [N]; runs uint8 [N], levels uint32 [N], overwritten from the start
    Units:   elements; `longest`, `trailing`: as `count_pairs`
    Raises:  nothing
    """
    last = values.shape[0]
    if not trailing:
        while last > 0 and values[last - 1] == 0:
            last -= 1
    count, zeros = 0, 0
    for i in range(last):
        if values[i] != 0 or zeros == longest:
            runs[count] = zeros
            levels[count] = values[i]
            count += 1
            zeros = 0
        else:
            zeros += 1
    if zeros > 0:
        runs[count] = zeros - 1
        levels[count] = 0
        count += 1
    return count


@kernel
def decode_pairs(runs: NDArray[np.uint8], levels: Words, values: Words) -> None:
    """Write what pairs stand for; elements after the last pair are zero.

    Shapes:  runs uint8 [P]; levels uint32 [P]; values uint32 [N], overwritten; pairs beyond its end are padding
    Raises:  nothing
    """
    values[:] = 0
    at = 0
    for pair in range(runs.shape[0]):
        at += runs[pair]
        if at >= values.shape[0]:
            break
        values[at] = levels[pair]
        at += 1
