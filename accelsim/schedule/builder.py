"""A trace, a machine and a scheme become a schedule.

Every stored map has a region in DRAM; nodes that only rename maps are followed to what is stored. What the host writes or reads is plain:
the network's input (and what it crops from it) and the maps that no layer reads are dense and have no markers. Biases, one word a filter,
are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from accelsim import schemes
from accelsim.errors import ModelError
from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Accelerator, UnifiedBuffer
from accelsim.hardware.tilings import by_tensor
from accelsim.schedule import views
from accelsim.schedule.assemble import Assembly
from accelsim.schedule.coded import CodedFilters, Coder, skim
from accelsim.schedule.fetch import Job
from accelsim.schedule.fixed import fixed_tiling, require_layers
from accelsim.schedule.geometry import COSTED_KINDS, geometry
from accelsim.schedule.keep import Chain, Cut, kept, loaded
from accelsim.schedule.markers import spilled
from accelsim.schedule.memory import Allocator, FilterRegion, MapRegion, Segment
from accelsim.schedule.nest import Nest
from accelsim.schedule.plan import Plan, plan
from accelsim.schedule.pooling import fusions
from accelsim.schedule.prices import Prices
from accelsim.schedule.runs import Rules
from accelsim.schedule.tables import NONE, Schedule
from accelsim.schedule.work import measure
from accelsim.schemes import Scheme
from accelsim.schemes.base import EncodedMap
from accelsim.trace import Trace

_FUSED = {
    "input": "the host stores it before the replay starts",
    "crop": "the host crops the image before it stores it",
    "given": "it lies in memory before the replay starts",
    "concat": "its producers write into it",
    "dropout": "identity at inference",
    "yolo": "an output: the host reads the map as it is",
    "cost": "training only",
    **views.FUSED,
}
"""Why a node costs nothing of its own."""
Place = tuple[int, int]
"""Address and bytes."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One scheduled node: what it reads and writes, and its tiles."""

    nest: Nest
    cut: Cut
    plan: Plan

    @property
    def index(self) -> int:
        """Number of the node."""
        return self.nest.node.index

    @property
    def made(self) -> int:
        """Number of the node whose map it writes."""
        return self.nest.made.index


def build(trace: Trace, accelerator: Accelerator, scheme: str) -> Schedule:
    """Compile a replay to integers.

    Units:   `scheme`: name of a member of `schemes`, with options as `schemes.load` reads them
    Raises:  `ConfigError` for an unknown scheme or option, for fixed tilings that no layer has, or where the buffer cannot hold one tile;
             `TraceError` where the trace lacks what the scheme needs, weights among it; `ModelError` for a kind of node that cannot be
             scheduled
    """
    chosen = schemes.load(scheme)
    graph = trace.graph
    prepared = _prepared(graph)
    pools = fusions(graph) if accelerator.fuse_pooling else {}
    nests, plain, host = _nests(graph, prepared, accelerator, pools)
    if not nests:
        raise ModelError(f"{graph.name}: nothing to schedule: no layer costs anything\n    scheduled kinds: {', '.join(COSTED_KINDS)}")
    names, maps = ({node.index for node in nodes} for nodes in zip(*((nest.node, nest.made) for nest in nests), strict=True))
    fused = {node.name: _fused(node, graph, pools) for node in graph.nodes if node.index not in names}
    require_layers(accelerator, [nest.node.name for nest in nests], fused, graph.name)
    # what wrote a given map knew the scheme; its markers come from memory
    given = frozenset(node.index for node in graph.nodes if node.kind == "given")
    encoded = _encoded(trace, accelerator, chosen, nests, maps | prepared, plain, maps | given)
    coder = Coder(trace, accelerator, chosen, given | maps)
    # which markers stay on the chip is settled before it is known which maps do, so that keeping one map drives out no other's markers
    prices = Prices(nests, encoded, _spilled(nests, encoded, accelerator), coder)
    cuts = Chain(nests, plain, host, prices).cut()
    plans = (plan(cut.held.loads(nest.layer), cut.tiling, accelerator.data) for nest, cut in zip(nests, cuts, strict=True))
    layers = [_Layer(*one) for one in zip(nests, cuts, plans, strict=True)]
    coded = {layer.index: code for layer in layers if (code := coder.code(layer.nest, layer.plan)) is not None}
    columns = {layer.index: found for layer in layers if (found := coder.columns(layer.nest, layer.plan)) is not None}
    flags = {part: graph.nodes[part].elements for layer in layers if layer.index in columns for part in layer.nest.reads if part > 0}
    marked = {index: replace(fmap, metadata_bits=fmap.metadata_bits + flags.get(index, 0)) for index, fmap in encoded.items()}
    spills = _spilled(nests, marked, accelerator)
    for layer in layers:
        if not (layer.cut.held.stored or chosen.saves.macs):
            # what never leaves the buffer is not coded, and its reader skips no work
            marked[layer.made] = replace(encoded[layer.made], metadata_bits=flags.get(layer.made, 0))
    out = frozenset(index for index in spills | given if marked[index].metadata_bytes)
    regions, filters, sums, metadata, codebooks = _memory(layers, marked, graph, accelerator, plain, coder)
    order = {layer.made: number for number, layer in enumerate(layers)}
    rules = Rules(accelerator.dma.min_skip, accelerator.dma.access, accelerator.dma.dims)
    assembly = Assembly(accelerator.dma, rules, drains=isinstance(accelerator.buffer, UnifiedBuffer))
    for layer in layers:
        index, made, code, nest = layer.index, layer.made, coded.get(layer.index), layer.nest
        alive = None if code is None else code.alive
        computed = marked[made].computed if made == index else None
        work = measure(layer.plan, nest.sources, regions, accelerator.pe_array, computed, alive)
        loads = loaded(nest.sources, layer.cut, plain) | nest.reads & out
        job = Job(
            plan=layer.plan,
            sources=nest.sources,
            regions=regions,
            ofmap=regions[made],
            filters=filters.get(index),
            sums=sums,
            work=work if code is None else skim(work, layer.plan, code, columns.get(index)),
            wait_layer=max((order[read] for read in loads if read in order), default=NONE),
            markers_in=(*(metadata[read] for read in sorted(nest.reads & out)), *codebooks.get(index, ())),
            marker_out=metadata[made] if made in out else None,
            resident=layer.cut.resident,
            stored=layer.cut.held.stored,
            pool=nest.pool,
        )
        assembly.add(index, job)
    images, notes = graph.nodes[0].images, []
    if not trace.positions_known:
        notes.append("zero-channel positions are assumed evenly spread (published statistics)")
    if images > 1:
        notes.append(f"batch of {images}: cycles, MACs and bytes are those of all its images")
    return assembly.schedule(
        scheme=chosen.label,
        names=tuple(nest.node.name for nest in nests),
        kinds=tuple(nest.node.kind for nest in nests),
        slots=by_tensor(accelerator.buffer.slots),
        fused=fused,
        notes=(*notes, *chosen.notes, *chosen.weights.notes([coded.get(index) for index in filters])),
        tilings=tuple(layer.plan.tiling.text(layer.plan.layer) for layer in layers),
        kept=kept([(layer.plan.layer, layer.nest.sources, layer.cut, regions[layer.made]) for layer in layers], regions),
    )


def _fused(node: Node, graph: Graph, pools: Mapping[int, int]) -> str:
    """Why a node costs nothing of its own."""
    if node.index in pools:
        return f"computed as the tiles of {graph.nodes[pools[node.index]].name} leave the array"
    return _FUSED[node.kind]


def _prepared(graph: Graph) -> frozenset[int]:
    """Maps that lie in memory from the start: the input, what the host crops from it, and those that are given."""
    host = {0}
    for node in graph.nodes:
        if node.kind in ("given", "constant"):
            host.add(node.index)
        if node.kind == "crop" and node.inputs[0] in host:
            host.add(node.index)
    return frozenset(host)


def _nests(
    graph: Graph, prepared: frozenset[int], accelerator: Accelerator, pools: Mapping[int, int]
) -> tuple[list[Nest], dict[int, frozenset[int]], frozenset[int]]:
    """The costed nodes with what they read; the stored maps whose bytes each alias means; and those that the host reads."""
    pool_of = {conv: graph.nodes[pool] for pool, conv in pools.items()}
    segments: list[tuple[Segment, ...]] = []
    nests = []
    plain: dict[int, frozenset[int]] = {}
    for node in graph.nodes:
        shapes = graph.input_shapes(node.index)
        costed = node.index not in prepared and node.index not in pools and views.costs(node, shapes)
        if node.kind == "reshape" or (costed and node.kind == "permute"):
            under = frozenset(part.node for part in segments[node.inputs[0]])
            plain[-node.index] = frozenset(index for number in under for index in (plain[number] if number < 0 else (number,)))
        if costed:
            sources = tuple(views.operand(node, segments[index], shape) for index, shape in zip(node.inputs, shapes, strict=True))
            nest = geometry(node, [shape for _, shape in sources])
            label = f"{node.name} (layer {node.index})"
            reads = frozenset(part.node for parts, _ in sources for part in parts)
            reads |= frozenset().union(*(plain[index] for index in reads if index < 0))
            made = pool_of.get(node.index, node)
            if made is not node:
                nest = replace(nest, written=made.shape[1] * made.shape[2])
            nests.append(Nest(node, made, nest, label, fixed_tiling(nest, accelerator, node.name, label), sources, reads))
        elif not (node.index in prepared or node.index in pools or node.kind in _FUSED):
            geometry(node, shapes)  # says which kinds can be scheduled
        stored = costed or node.index in prepared or node.index in pools
        segments.append((Segment(0, node.shape[0], node.index, 0),) if stored else views.joined(graph, node, segments))
    inner = frozenset(index for node in graph.nodes for index in node.inputs)
    seen = frozenset(part.node for node in graph.nodes if node.index not in inner for part in segments[node.index])
    host = seen | frozenset().union(*(plain[index] for index in seen if index < 0))
    return nests, plain, host


def _encoded(
    trace: Trace,
    accelerator: Accelerator,
    chosen: Scheme,
    nests: Sequence[Nest],
    stored: Set[int],
    plain: Mapping[int, frozenset[int]],
    able: Set[int],
) -> dict[int, EncodedMap]:
    """How all stored maps and aliases lie. `able`: those that may lie as the scheme says; the ones that layers read by channel do."""
    dense = schemes.load("dense")
    marked = (frozenset().union(*(nest.reads for nest in nests)) & able).difference(*plain.values())
    encoded = {index: (chosen if index in marked else dense).encode(trace, index, accelerator) for index in stored}
    return encoded | {index: dense.encode(trace, -index, accelerator) for index in plain}


def _spilled(nests: Sequence[Nest], encoded: Mapping[int, EncodedMap], accelerator: Accelerator) -> frozenset[int]:
    """Maps whose markers go through DRAM."""
    sizes = {index: fmap.metadata_bytes for index, fmap in encoded.items()}
    return spilled([nest.reads for nest in nests], [nest.made.index for nest in nests], sizes, accelerator.marker_memory.size)


def _memory(
    layers: Sequence[_Layer],
    encoded: Mapping[int, EncodedMap],
    graph: Graph,
    accelerator: Accelerator,
    plain: Mapping[int, frozenset[int]],
    coder: Coder,
) -> tuple[dict[int, MapRegion], dict[int, FilterRegion | CodedFilters], int, dict[int, Place], dict[int, tuple[Place]]]:
    """Regions of maps and filters, address of the partial sums, places of each map's markers and of each layer's codebook.

    An alias of one map lies where that lies; one of several joined maps has a place of its own, as if they were written there.
    """
    space = Allocator(accelerator.dma.access)
    makers = {layer.made: layer for layer in layers if layer.plan.layer.weights}
    regions: dict[int, MapRegion] = {}
    filters: dict[int, FilterRegion | CodedFilters] = {}
    for index in sorted(encoded, key=lambda number: (number < 0, number)):
        if index in makers:
            region = coder.region(makers[index].nest, makers[index].plan)
            filters[makers[index].index] = replace(region, address=space.take(region.size))
        shape: Shape = graph.nodes[abs(index)].shape
        empty = MapRegion(0, shape, accelerator.data.ifmap_bits, encoded[index])
        under = [regions[number] for number in plain.get(index, ())]
        alone = len(under) == 1 and under[0].size == empty.size
        regions[index] = MapRegion(under[0].address if alone else space.take(empty.size), shape, empty.bits, encoded[index])
    sums = space.take(max((layer.plan.spill_bytes(accelerator.dma.access) for layer in layers), default=0))
    sizes = {index: encoded[index].metadata_bytes for index in sorted(encoded)}
    metadata = {index: (space.take(size), size) for index, size in sizes.items() if size}
    shared = {number: region.encoded.shared for number, region in filters.items() if isinstance(region, CodedFilters)}
    codebooks = {number: ((space.take(size), size),) for number, size in shared.items() if size}
    return regions, filters, sums, metadata, codebooks
