"""What a layer that reads a map skips under each scheme, against vectors: loads with halo, weights, multiply-accumulates, cycles."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from accelsim import schemes
from accelsim.graph import Node
from accelsim.hardware import Accelerator
from accelsim.layers import layer
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import Tiling
from accelsim.schedule.memory import DENSE, WANTED, FilterRegion, MapRegion, Segment
from accelsim.schedule.pieces import Pieces, Pool
from accelsim.schedule.plan import plan
from accelsim.schedule.runs import Rules
from accelsim.schedule.work import measure
from accelsim.validation.result import Compared
from accelsim.validation.scheme_vectors import Case, Tensor, machine

MODES = {"dense": "dense", "channel_marker": "channel", "part_marker": "part"}
BYTE = 8
"""Bits of an element where vectors count elements: bytes are elements then."""


def skips(case: Case, tensor: Tensor) -> list[Compared]:
    """Compare every entry of a file of skips."""
    rows = []
    for name in case.content:
        inner = case.inner(name)
        if name.startswith("conv"):
            rows.append(inner.compare("skips", _conv(inner, tensor)))
        elif name.startswith("depthwise"):
            rows += [inner.compare("skips", _depthwise(inner, tensor)), *_constants(inner)]
        elif name.startswith("fc"):
            rows.append(inner.compare("skips", _full(inner, tensor)))
        elif name.startswith("gemm column"):
            rows.append(inner.compare("skips", _columns(inner, tensor)))
        elif name.startswith("scnn"):
            rows.append(inner.compare("skips", _scnn(inner, tensor)))
        elif name == "fetched bytes":
            rows += [_fetched(inner, key, tensor) for key in inner.content]
        else:
            raise case.fault(f"{name!r} is no known case; allowed: conv..., depthwise..., fc..., gemm column..., scnn..., fetched bytes")
    return rows


class _Consumer:
    """A layer that reads the map, under one scheme, tiled into parts of the array."""

    def __init__(self, nest: Geometry, tensor: Tensor, array: Accelerator, scheme: str) -> None:
        rows, cols = min(array.pe_array.rows, nest.out_height), min(array.pe_array.cols, nest.out_width)
        self.nest = nest
        self.plan = plan(nest, Tiling(1, nest.filters, nest.channels, rows, cols, "KCP"), array.data)
        shape = tensor.fmap.shape
        self.encoded = schemes.load(scheme).encode_map(tensor.fmap, array)
        self.sources = (((Segment(0, shape[0], 0, 0),), shape),)
        self.regions = {0: MapRegion(0, shape, array.data.ifmap_bits, self.encoded)}
        self.work = measure(self.plan, self.sources, self.regions, array.pe_array)
        self.pieces = Pieces(self.plan, Rules(1, 1, 3), Pool())

    def ifmap(self) -> np.ndarray[Any, Any]:
        """Bytes wanted and bytes of the dense scheme, halo included."""
        table = self.pieces.ifmap(self.sources, self.regions)[self.plan.ifmap.key]
        return np.asarray(table[:, [WANTED, DENSE]].sum(axis=0))

    def weights(self) -> tuple[int, int]:
        """Weights that are skipped, and all of them. Units: elements, each once."""
        table = self.pieces.filters(FilterRegion(0, self.nest, BYTE, "ckrs"), self.work.live)
        return int((table[:, DENSE] - table[:, WANTED]).sum()), int(table[:, DENSE].sum())


def _nest(tensor: Tensor, filters: int, kernel: int, stride: int, pad: int, groups: int = 1) -> Geometry:
    channels, height, width = tensor.fmap.shape
    rows, cols = ((size + 2 * pad - kernel) // stride + 1 for size in (height, width))
    sizes = (groups, filters // groups, channels // groups, height, width, rows, cols)
    return Geometry(*sizes, (kernel, kernel), (stride, stride), (1, 1), (pad, pad))


def _conv(case: Case, tensor: Tensor) -> dict[str, Any]:
    kernel, filters = case.count("kernel"), case.count("K")
    rows, cols = (int(size) for size in case.items("array"))
    nest = _nest(tensor, filters, kernel, case.count("stride"), case.count("pad"))
    found: dict[str, Any] = {}
    for scheme, mode in MODES.items():
        layer_of = _Consumer(nest, tensor, machine(rows, cols, BYTE), scheme)
        wanted, dense = layer_of.ifmap().tolist()
        tiles, pairs = layer_of.work.busy.size, layer_of.work.live.size
        suffix = mode if mode == "dense" else f"{mode}_mode"
        found |= {f"cycles_{suffix}": int(layer_of.work.busy.sum()), f"ifmap_elements_{suffix}_with_halo": wanted}
        if mode == "dense":
            found |= {"tiles": tiles, "tile_channel_pairs": pairs, "ifmap_elements_dense_unique": layer_of.encoded.payload_bytes}
            found |= {"weights_dense": layer_of.weights()[1], "macs_dense": nest.macs, "ifmap_elements_dense_with_halo": dense}
        else:
            found[f"skipped_pairs_{suffix}"] = int((~layer_of.work.live).sum())
        if mode == "channel":
            found["weights_skipped_by_zero_channel"] = layer_of.weights()[0]
            found["macs_skipped_by_zero_channel"] = nest.macs - int(layer_of.work.macs.sum())
    return found


def _depthwise(case: Case, tensor: Tensor) -> dict[str, Any]:
    kernel, pad = _numbers(case, r"depthwise(\d+)x\d+ pad(\d+)")
    channels = tensor.fmap.shape[0]
    nest = _nest(tensor, channels, kernel, 1, pad, groups=channels)
    consumer = _Consumer(nest, tensor, machine(1, 1, BYTE), "channel_marker")
    skipped, dense = consumer.weights()
    macs = {"macs_dense": nest.macs, "macs_skipped": nest.macs - int(consumer.work.macs.sum())}
    return {"weights_dense": dense, "weights_skipped": skipped, **macs}


def _constants(case: Case) -> list[Compared]:
    """What a depthwise layer makes of a zero channel: batch normalisation of 0, activated."""
    rows = []
    for key in case.content:
        if key.startswith("bn_example"):
            inner = case.inner(key)
            factor = inner.number("gamma") / np.sqrt(inner.number("var") + inner.number("eps"))
            both = {"weight": factor, "bias": inner.number("beta") - inner.number("mean") * factor}
            weights = {name: np.array([value], dtype=np.float32) for name, value in both.items()}
            plain = Node(1, "bn", "scale", (0,), (1, 1, 1))
            zero = np.full((1, 1, 1), inner.number("conv_output"), dtype=np.float32)
            made = {
                name: float(layer("scale").forward(node, [zero], weights)[0, 0, 0])
                for name, node in (("bn_output", plain), ("relu", replace(plain, activation="relu")))
            }
            rows.append(inner.compare("skips", made))
    return rows


def _full(case: Case, tensor: Tensor) -> dict[str, Any]:
    (filters,) = _numbers(case, r"fc K(\d+)")
    channels, height, width = tensor.fmap.shape
    nest = Geometry(1, filters, channels, height, width, 1, 1, (height, width))
    skipped, dense = _Consumer(nest, tensor, machine(1, 1, BYTE), "channel_marker").weights()
    zeros = tensor.fmap.zero_elements or 0
    # Skipping by elements is no scheme here: each zero input needs none of its weights.
    return {
        "inputs": tensor.fmap.elements,
        "weights_dense": dense,
        "weights_skipped_channel_mode": skipped,
        "weights_skipped_element_mode": zeros * filters,
    }


def _columns(case: Case, tensor: Tensor) -> dict[str, Any]:
    """The layer that makes a map of which as many positions are zero in all channels, with a mask of its own."""
    masked = case.count("masked")
    channels, height, width = tensor.fmap.shape
    kernel, filters = _numbers(case, r"macs_dense_conv(\d+)x\d+_K(\d+)", *case.content)
    nest = _nest(tensor, filters, kernel, 1, kernel // 2)
    made = np.ones((filters, height * width), dtype=np.int64)
    made[:, :masked] = 0
    encoded = schemes.load("gemm_column").encode_map(Tensor(made.reshape(filters, height, width)).fmap, machine())
    shape = (channels, height, width)
    ones = MapRegion(0, shape, BYTE, schemes.load("dense").encode_map(Tensor(np.ones(shape, dtype=np.int64)).fmap, machine(1, 1, BYTE)))
    whole = plan(nest, Tiling(1, filters, channels, height, width, "KCP"), machine().data)
    work = measure(whole, (((Segment(0, channels, 0, 0),), shape),), {0: ones}, machine().pe_array, encoded.computed)
    macs = int(work.macs.sum())
    return {
        "positions": height * width,
        "masked": masked,
        "mask_bits": encoded.metadata_bits,
        "mask_bytes_if_uint8": encoded.metadata_bits,
        f"macs_dense_conv{kernel}x{kernel}_K{filters}": nest.macs,
        "macs": macs,
        "speedup_if_compute_bound": round(nest.macs / macs, 6) if macs else None,
    }


def _scnn(case: Case, tensor: Tensor) -> dict[str, Any]:
    """SCNN is no scheme here; its closed form on one processing element: I activations times F weights a cycle, channel by channel."""
    vector, lanes, filters = _numbers(case, r"scnn I(\d+) F(\d+) 1x1 K(\d+).*")
    nonzeros = (tensor.values != 0).reshape(tensor.values.shape[0], -1).sum(axis=1)
    cycles = (-(-nonzeros // vector) * -(-filters // lanes)).tolist()
    dense = -(-tensor.values[0].size // vector) * -(-filters // lanes) * len(cycles)
    return {"cycles_per_channel": cycles, "cycles": sum(cycles), "dense_cycles": dense}


def _fetched(case: Case, name: str, tensor: Tensor) -> Compared:
    """Bytes of the bursts that bring the whole map, by layout."""
    bits, burst = (int(number) for number in re.findall(r"(\d+)-bit, burst (\d+) B", name)[0]) if "burst" in name else (16, 64)
    found = re.search(r"each (?:(\d+)x(\d+) part|channel) in its own aligned slot|raster CHW", name)
    mode = name.rpartition(", ")[2]
    if found is None or mode not in MODES.values():
        raise case.fault(f"{name!r} is no known layout; write for example 'raster CHW, 16-bit, burst 32 B, channel'")
    rows, cols = (int(found[1]), int(found[2])) if found[1] else (3, 3)
    scheme = {mode: name for name, mode in MODES.items()}[mode]
    fmap, array = tensor.fmap, machine(rows, cols, bits, burst)
    slots = "slot" in found[0]
    if slots and mode == "dense":  # every part in its slot, none skipped
        fmap, scheme = Tensor(np.ones_like(tensor.values)).fmap, "part_marker"
    encoded = schemes.load(f"{scheme}:layout=slots" if slots else scheme).encode_map(fmap, array)
    region = MapRegion(0, fmap.shape, bits, encoded)
    jobs = region.piece((0, fmap.shape[0]), (0, fmap.shape[1]), (0, fmap.shape[2]), Rules(1, burst, 1))[0]
    first, last = jobs[:, 0] // burst, (jobs[:, 0] + jobs[:, 1] - 1) // burst
    touched = {access for low, high in zip(first.tolist(), last.tolist(), strict=True) for access in range(low, high + 1)}
    return case.compare("fetched bytes", {name: len(touched) * burst}, name)


def _numbers(case: Case, pattern: str, *keys: str) -> list[int]:
    """Numbers in the name of a case, or in that of the first key that fits."""
    for key in keys or (case.name,):
        found = re.fullmatch(pattern, key)
        if found:
            return [int(number) for number in found.groups()]
    raise case.fault(f"its name is not of the form {pattern!r}")
