"""SCALE-Sim: topologies out, machines (.cfg) in and out. Topologies in: `networks.scalesim`.

A topology knows convolutions of square stride on maps that hold their padding, and nothing else. Pooling and additions are left out; a
convolution with groups becomes one row for each group, a depthwise one the row with 'DP' in its name; dilation, or strides that differ,
are written as the matrix product they amount to (one row of the unrolled map a pixel), as the tool itself does for its M, N, K files.
Source:  SCALE-Sim v2 and v3: configs/, scalesim/topology_utils.py, scale_config.py, single_layer_sim.py (1 kB = 1,024 words of 1 byte,
         double buffered; each of the three buffers has the bandwidth, in words a cycle: `Bandwidth`, of which version 3 reads the
         ofmap's alone, and a `SRAMBankBandwidth` each for ifmap and filter)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from accelsim import hardware
from accelsim.convert.base import Converted, left_out, plain_name
from accelsim.errors import ConfigError, choices
from accelsim.graph import Graph, Node, Shape
from accelsim.hardware import Accelerator, BusLink, Data, Dma, MarkerMemory, PeArray, SplitBuffer
from accelsim.hardware.dram import FlatDram
from accelsim.networks.scalesim import CONV_COLUMNS, DEPTHWISE

DATAFLOWS = ("os", "ws", "is")
CLOCK = 10**9
"""SCALE-Sim counts cycles and knows no clock; 1 GHz makes a cycle a nanosecond."""
BUFFERS = 3
UNLIMITED = 4096
"""Words a cycle and buffer where SCALE-Sim computes the bandwidth that it would need (`CALC`)."""
REQUESTS = 512
"""Outstanding requests: needed by version 3, used by it with a Ramulator trace alone."""
MAX_BYTES = 1_000_000
WRITTEN = ("conv", "fc")

MODES = ("USER", "CALC")
"""Of `InterfaceBandwidth`: as much as the file says, or as much as never stalls."""
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "UseRamulatorTrace": "its DRAM is replayed from a trace of Ramulator; write False, and give the machine a banked accelerator.dram",
        "SparsitySupport": "its filters are compressed by their N:M sparsity, which changes the cycles of the array; write false",
        "IfmapCustomLayout": "its ifmap buffer has banks that conflict; write False",
        "FilterCustomLayout": "its filter buffer has banks that conflict; write False",
    }
)
"""Keys that, where they are true, change what the tool counts in ways that this program has no words for."""
UNUSED = frozenset(
    (
        *("ifmapoffset", "filteroffset", "ofmapoffset", "memorybanks", "readrequestbuffer", "writerequestbuffer", "topologycsvloc"),
        *("sparserep", "optimizedmapping", "blocksize", "randomnumbergeneratorseed", "run_name", "interfacebandwidth"),
        *(f"{tensor}srambank{what}" for tensor in ("ifmap", "filter") for what in ("bandwidth", "num", "port")),
    )
)
"""Keys that the tool knows and that mean nothing once those above are false."""

_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*[:=]\s*(.*?)\s*")
_NEEDED = ("ArrayHeight", "ArrayWidth", "IfmapSramSzkB", "FilterSramSzkB", "OfmapSramSzkB", "Dataflow")


def topology(graph: Graph) -> Converted:
    """Write the convolutions and fully connected layers of a graph as a topology file."""
    rows: list[tuple[str, tuple[int, ...], str]] = []
    products = []
    for node in graph.nodes:
        if node.kind in WRITTEN:
            ifmap = graph.nodes[node.inputs[0]].shape
            found, plain = _rows(node, ifmap)
            rows += [(name, numbers, str(node.attributes.get("filter_sparsity", "1:1"))) for name, numbers in found]
            if not plain:
                products.append(node.name)
    sparse = any(ratio != "1:1" for _, _, ratio in rows)
    lines = [",".join(("Layer name", *CONV_COLUMNS, *(["Sparsity"] if sparse else []), ""))]
    lines += [",".join((name, *map(str, numbers), *([ratio] if sparse else []), "")) for name, numbers, ratio in rows]
    notes = list(left_out(graph, WRITTEN, "SCALE-Sim"))
    if products:
        notes.append(f"written as matrix products (dilation, or strides that differ): {', '.join(products)}")
    return Converted(((f"{graph.name}.csv", "\n".join(lines) + "\n"),), tuple(notes))


def _rows(node: Node, ifmap: Shape) -> tuple[list[tuple[str, tuple[int, ...]]], bool]:
    """Rows of one layer, and whether they are convolutions (or matrix products in their stead)."""
    name = plain_name(node).replace(DEPTHWISE, DEPTHWISE.title())
    if node.kind == "fc":
        channels = ifmap[0] * ifmap[1] * ifmap[2]
        return [(name, (1, 1, 1, 1, channels, node.shape[0], 1))], True
    (rows, cols), (filters, height, width) = node.kernel, node.shape
    # along an axis with one output nothing strides
    strides = {step for step, count in zip(node.stride, (height, width), strict=True) if count > 1} or {1}
    plain = len(strides) == 1 and node.dilation == (1, 1)
    channels, filters = ifmap[0] // node.groups, filters // node.groups
    if plain:
        stride = strides.pop()
        sizes = ((height - 1) * stride + rows, (width - 1) * stride + cols, rows, cols)
        if node.groups > 1 and channels == 1:
            return [(f"{DEPTHWISE}_{name}", (*sizes, node.groups, filters, stride))], True
        row: tuple[int, ...] = (*sizes, channels, filters, stride)
    else:
        window = rows * cols * channels
        row = (height * width, window, 1, window, 1, filters, 1)
    if node.groups == 1:
        return [(name, row)], plain
    return [(f"{name}_group{group}", row) for group in range(node.groups)], plain


def config(machine: Accelerator) -> Converted:
    """Write a machine as a configuration file.

    Raises:  `ConfigError` for a dataflow that SCALE-Sim has not, or a machine that moves less than a word a cycle
    """
    if machine.pe_array.dataflow not in DATAFLOWS:
        raise ConfigError(
            f"{machine.place('pe_array.dataflow')}: SCALE-Sim has no dataflow {machine.pe_array.dataflow!r}\n"
            f"    {choices(DATAFLOWS)}; for example --set accelerator.pe_array.dataflow=ws"
        )
    notes = [
        "SCALE-Sim knows no DMA engine, bursts, latency or markers: it is given sizes and bandwidth alone",
        "version 3 wants a layout file beside the topology (-l); one title line will do, such as 'Layer name,'",
    ]
    buffer = machine.buffer
    if isinstance(buffer, SplitBuffer):
        sizes = (buffer.ifmap, buffer.filter, buffer.ofmap)
    else:
        sizes = (buffer.size // 3, buffer.size // 3, buffer.size // 3)
        notes.append("the unified buffer is cut into three equal ones")
    bits = machine.data.ifmap_bits
    kilowords = [max(1, size * 8 // bits // 1024) for size in sizes]
    peak = hardware.peaks(machine)
    bandwidth = int(min(peak.dram, peak.link_read + peak.link_write) * 8 / bits / machine.clock / BUFFERS)
    if bandwidth < 1:
        raise ConfigError(f"{machine.name}: less than one word of {bits} bits a cycle for each of three buffers, SCALE-Sim's least")
    if bits != 8:
        notes.append(f"sizes and bandwidth are in words of {bits} bits")
    presets = {
        "ArrayHeight": machine.pe_array.rows,
        "ArrayWidth": machine.pe_array.cols,
        **dict(zip(("IfmapSramSzkB", "FilterSramSzkB", "OfmapSramSzkB"), kilowords, strict=True)),
        "IfmapOffset": 0,
        "FilterOffset": 10_000_000,
        "OfmapOffset": 20_000_000,
        "Dataflow": machine.pe_array.dataflow,
        "Bandwidth": bandwidth,
        "MemoryBanks": 1,
        "ReadRequestBuffer": REQUESTS,
        "WriteRequestBuffer": REQUESTS,
    }
    # one bank: version 3 stops where the number of banks does not divide the bandwidth
    layout = {
        f"{tensor}{key}": value
        for tensor in ("Ifmap", "Filter")
        for key, value in (("CustomLayout", False), ("SRAMBankBandwidth", bandwidth), ("SRAMBankNum", 1), ("SRAMBankPort", 2))
    }
    sections: Mapping[str, Mapping[str, object]] = {
        "general": {"run_name": machine.name},
        "architecture_presets": presets,
        "sparsity": {"SparsitySupport": "false", "SparseRep": "ellpack_block", "OptimizedMapping": "false", "BlockSize": 8},
        "layout": layout,
        "run_presets": {"InterfaceBandwidth": "USER", "UseRamulatorTrace": False},
    }
    text = "\n".join(
        "\n".join((f"[{title}]", *(f"{key} = {value}" for key, value in keys.items()), "")) for title, keys in sections.items()
    )
    return Converted(((f"{machine.name}.cfg", text),), tuple(notes))


@dataclass(frozen=True)
class _Setting:
    text: str
    line: int


def is_config(path: Path) -> bool:
    """Whether a .cfg file is a SCALE-Sim configuration (a Darknet network otherwise)."""
    try:
        head = path.read_bytes()[:MAX_BYTES].decode("utf-8", "replace")
    except OSError:
        return False
    return any(line.strip().lower() == "[architecture_presets]" for line in head.splitlines())


def machine(path: Path) -> tuple[Accelerator, tuple[str, ...]]:
    """Read a configuration file: a machine whose only limits are its array, its buffers and, in USER mode, its bandwidth; and notes.

    Raises:  `ConfigError` with file and line, every fault of the file
    """
    settings = _settings(path)
    faults = [f"{path}: [architecture_presets] lacks {key}" for key in _NEEDED if key.lower() not in settings]
    numbers: dict[str, int] = {}
    for key in (*_NEEDED[:-1], "Bandwidth"):
        given = settings.get(key.lower())
        if given is None or (key == "Bandwidth" and _mode(settings) != "USER"):
            continue
        first, *others = (word.strip() for word in given.text.split(","))
        if key == "Bandwidth" and set(others) - {first}:
            faults.append(f"{path}:{given.line}: Bandwidth is {given.text!r}: one for each buffer\n    write one number; here all share it")
        elif first.isascii() and first.isdecimal() and 1 <= int(first) <= 2**20:
            numbers[key] = int(first)
        else:
            faults.append(f"{path}:{given.line}: {key} is {given.text!r}; allowed: whole numbers from 1 to {2**20:,}")
    faults += _unmapped(path, settings)
    flow = settings.get("dataflow", _Setting("ws", 0))
    if flow.text not in DATAFLOWS:
        faults.append(f"{path}:{flow.line}: Dataflow is {flow.text!r}\n    {choices(DATAFLOWS, flow.text)}")
    if faults:
        raise ConfigError(*faults)
    words = numbers.get("Bandwidth", UNLIMITED)
    notes = ["words are bytes, the clock is 1 GHz: SCALE-Sim states neither"]
    if "Bandwidth" in numbers:
        notes.append(f"each of three buffers moved {words} words a cycle; here reads and writes share {BUFFERS * words} bytes a cycle")
    else:
        notes.append("InterfaceBandwidth is CALC, as much as never stalls: the bandwidth is made so large that it limits nothing")
    known = {*UNUSED, "bandwidth", *(key.lower() for key in (*_NEEDED, *REFUSED))}
    foreign = [key for key in settings if key not in known]
    if foreign:
        notes.append(f"not of SCALE-Sim 3.0.0, and passed over: {', '.join(foreign)}")
    made = Accelerator(
        name=settings.get("run_name", _Setting(path.stem, 0)).text[:80] or path.stem,
        clock=CLOCK,
        pe_array=PeArray(rows=numbers["ArrayHeight"], cols=numbers["ArrayWidth"], dataflow=flow.text),
        data=Data(ifmap_bits=8, filter_bits=8, psum_bits=32),
        buffer=SplitBuffer(
            organisation="split",
            ifmap=1024 * numbers["IfmapSramSzkB"],
            filter=1024 * numbers["FilterSramSzkB"],
            ofmap=1024 * numbers["OfmapSramSzkB"],
        ),
        marker_memory=MarkerMemory(size=64 * 1024),
        dma=Dma(setup_cycles=0, next_descriptor_cycles=0, outstanding_descriptors=64, outstanding_requests=1024, access=1, min_skip=1),
        link=BusLink(kind="bus", bytes_per_cycle=(BUFFERS - 1) * words),
        dram=FlatDram(kind="flat", rate=BUFFERS * words * CLOCK),
    )
    return made, tuple(notes)


def _unmapped(path: Path, settings: Mapping[str, _Setting]) -> Iterator[str]:
    """What a machine of ours cannot say."""
    mode = settings.get("interfacebandwidth")
    if mode is not None and mode.text not in MODES:
        yield f"{path}:{mode.line}: InterfaceBandwidth is {mode.text!r}\n    {choices(MODES, mode.text)}"
    if mode is not None and mode.text == "USER" and "bandwidth" not in settings:
        yield f"{path}:{mode.line}: InterfaceBandwidth is USER, but [architecture_presets] lacks Bandwidth"
    for key, why in REFUSED.items():
        given = settings.get(key.lower())
        if given is not None and given.text.lower() in ("true", "yes", "on", "1"):
            yield f"{path}:{given.line}: {key} is {given.text!r}: {why}"


def _mode(settings: Mapping[str, _Setting]) -> str:
    return settings.get("interfacebandwidth", _Setting("CALC", 0)).text


def _settings(path: Path) -> dict[str, _Setting]:
    """Keys in lower case, as the tool reads them, with their lines; section titles tell nothing more."""
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode("utf-8-sig")
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path}: is not text (byte {fault.start})") from fault
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: more than {MAX_BYTES:,} bytes; configuration files are small")
    found: dict[str, _Setting] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if not plain or plain[0] in "#;" or (plain[0] == "[" and plain[-1] == "]"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(f"{path}:{number}: {plain[:60]!r} is no 'Key : value'")
        elif match[1].lower() in found:
            faults.append(f"{path}:{number}: {match[1]} stands already on line {found[match[1].lower()].line}")
        else:
            found[match[1].lower()] = _Setting(match[2], number)
    if faults:
        raise ConfigError(*faults)
    return found
