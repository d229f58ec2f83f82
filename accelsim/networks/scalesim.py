"""Networks from SCALE-Sim: topology files, a table of layers that know nothing of each other.

Each row becomes one layer that reads a map of its own (kind `given`), so nothing is pooled, added or handed on between layers.
* Convolutions: name, ifmap height and width (padding included), filter height and width, channels, filters, stride [, stride across]
  [, sparsity N:M]. A window that hangs over the far edges counts, as it does there: ceil((H - R) / stride) + 1 rows. A name that contains
  'DP' is a depthwise convolution with that many filters a channel.
* Matrix products: name, M, N, K [, sparsity]: M pixels of K channels, 1x1, N filters.
Cells end with commas, or with tabs in a line that has none. The first line holds titles. What follows an empty cell, or a '#', is remark.
A column titled as a batch size must hold 1. A file with letters for numbers (topologies/CSV/LSTM.csv of v1: batch B, hidden state H, input
D) is a form to be filled in: nothing gives them values, and the tool, which calls int() on every cell, stops at the first.
Source:  SCALE-Sim v2 and v3, topology files and their reader (scalesim/topology_utils.py)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelsim.errors import ModelError, quoted
from accelsim.graph import NO_ATTRIBUTES, Attribute, Graph, Node
from accelsim.networks.network import Network, file_sha256

CONV_COLUMNS = ("IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter", "Strides")
GEMM_COLUMNS = ("M", "N", "K")
DEPTHWISE = "DP"
"""What the tool looks for in a name."""

MAX_BYTES = 1_000_000
MAX_LAYERS = 10_000
MAX_NUMBER = 2**24
MAX_ELEMENTS = 2**36
_WHOLE = re.compile(r"[0-9]{1,9}")
_RATIO = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what it says, and where. `numbers` as many as there are columns; `sparsity` of the filters, N of M not zero."""

    where: str
    name: str
    numbers: tuple[int, ...]
    stride_across: int | None = None
    sparsity: str = ""


def load(path: str | Path, name: str | None = None) -> Network:
    """Read a topology file; it has no weights.

    Layers are named like the rows; their ifmaps `NAME/ifmap`. The network's input stands for nothing. Sparsity of filters is kept as
    attribute `filter_sparsity` of its layer; nothing here uses it.
    Raises:  `ModelError` with file and line
    """
    path = Path(path)
    rows, gemm = _rows(path)
    nodes = [Node(0, "input", "input", (), (1, 1, 1))]
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.name] = seen.get(row.name, 0) + 1
        title = row.name if seen[row.name] == 1 else f"{row.name}_{seen[row.name]}"
        nodes += (_product if gemm else _convolution)(row, title, len(nodes))
    provenance = {"network_file": path.name, "network_sha256": file_sha256(path), "format": "SCALE-Sim topology"}
    return Network(Graph(name or path.stem, tuple(nodes)), None, provenance)


def _rows(path: Path) -> tuple[list[Row], bool]:
    try:
        data = path.read_bytes()[: MAX_BYTES + 1]
        text = data.decode("utf-8-sig")
    except OSError as fault:
        raise ModelError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise ModelError(f"{path}: is not text (byte {fault.start})") from fault
    if len(data) > MAX_BYTES:
        raise ModelError(f"{path}: more than {MAX_BYTES:,} bytes; topology files are small tables")
    lines = [(number, _cells(line)) for number, line in enumerate(text.splitlines(), 1)]
    filled = [(number, cells) for number, cells in lines if any(cells)]
    if not filled:
        raise ModelError(f"{path}: no layers; the first line holds titles, one layer a line follows")
    first, titles = filled[0]
    if len(titles) > 1 and _WHOLE.fullmatch(titles[1]):
        raise ModelError(
            f"{path}:{first}: the first line holds numbers, but it is for titles (SCALE-Sim skips it)\n    put a line of titles before it"
        )
    gemm = [title.upper() for title in titles[1:4]] == list(GEMM_COLUMNS)
    columns = GEMM_COLUMNS if gemm else CONV_COLUMNS
    if not 1 < len(filled) <= MAX_LAYERS:
        raise ModelError(f"{path}: {len(filled) - 1:,} layers; allowed: 1 to {MAX_LAYERS:,}")
    batch = len(titles) > len(columns) + 1 and "batch" in titles[len(columns) + 1].lower()
    return [_row(f"{path}:{number}", cells, columns, batch) for number, cells in filled[1:]], gemm


def _cells(line: str) -> list[str]:
    text = line.partition("#")[0]
    cells = [cell.strip() for cell in text.split("," if "," in text else "\t")]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _row(where: str, cells: Sequence[str], columns: Sequence[str], batch: bool) -> Row:
    name, values, more = cells[0], cells[1 : len(columns) + 1], list(cells[len(columns) + 1 :])
    if "" in more:
        more = more[: more.index("")]
    if not name.isprintable() or not name:
        raise ModelError(f"{where}: {quoted(name)} cannot name a layer")
    if len(values) < len(columns):
        raise ModelError(f"{where}: {name}: {len(values)} numbers; needed: {', '.join(columns)}")
    letters = [value for value in dict.fromkeys(values) if value.isidentifier()]
    if letters:
        column = columns[values.index(letters[0])]
        raise ModelError(
            f"{where}: {name}: {column} is {quoted(letters[0])}; allowed: whole numbers from 1 to {MAX_NUMBER:,}\n"
            f"    the file leaves {', '.join(letters)} open, and SCALE-Sim itself stops here (ValueError): write numbers into a copy of it"
        )
    numbers = tuple(_number(f"{where}: {name}: {column}", value) for column, value in zip(columns, values, strict=True))
    if batch and more and more.pop(0) != "1":
        raise ModelError(f"{where}: {name}: a batch of more than one image\n    write 1, and give the machine a batch: accelerator.batch")
    sparsity = more.pop() if more and ":" in more[-1] else ""
    across = _number(f"{where}: {name}: stride across", more.pop(0)) if more and len(columns) == len(CONV_COLUMNS) else None
    if more:
        raise ModelError(f"{where}: {name}: {quoted(more[0])} is one cell too many; after {columns[-1]} comes at most a sparsity like 2:4")
    ratio = _RATIO.fullmatch(sparsity)
    if sparsity and (ratio is None or int(ratio[1]) > int(ratio[2])):
        raise ModelError(f"{where}: {name}: sparsity {quoted(sparsity)}; allowed: N:M, N of M weights not zero, such as 2:4")
    return Row(where, name, numbers, across, sparsity)


def _number(where: str, text: str) -> int:
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= MAX_NUMBER:
        raise ModelError(f"{where} is {quoted(text)}; allowed: whole numbers from 1 to {MAX_NUMBER:,}")
    return int(text)


def _convolution(row: Row, title: str, index: int) -> tuple[Node, Node]:
    height, width, rows, cols, channels, filters, down = row.numbers
    stride = (down, row.stride_across or down)
    if rows > height or cols > width:
        raise ModelError(f"{row.where}: {row.name}: a filter of {rows} x {cols} is larger than its ifmap of {height} x {width}")
    outputs = [-(-(size - window) // step) + 1 for size, window, step in zip((height, width), (rows, cols), stride, strict=True)]
    # the far padding that the last window needs where the stride does not divide
    beyond = [
        (count - 1) * step + window - size for count, step, window, size in zip(outputs, stride, (rows, cols), (height, width), strict=True)
    ]
    groups, made = (channels, channels * filters) if DEPTHWISE in row.name else (1, filters)
    kind = "fc" if (height, width) == (1, 1) and groups == 1 else "conv"
    ifmap = _ifmap(row, title, index, (channels, height, width), made * outputs[0] * outputs[1])
    pad = (0, 0, beyond[0], beyond[1])
    shape = (made, outputs[0], outputs[1])
    return ifmap, Node(index + 1, title, kind, (index,), shape, (rows, cols), stride, pad, groups=groups, attributes=_attributes(row))


def _product(row: Row, title: str, index: int) -> tuple[Node, Node]:
    pixels, filters, window = row.numbers
    kind = "fc" if pixels == 1 else "conv"
    ifmap = _ifmap(row, title, index, (window, pixels, 1), filters * pixels)
    return ifmap, Node(index + 1, title, kind, (index,), (filters, pixels, 1), attributes=_attributes(row))


def _ifmap(row: Row, title: str, index: int, shape: tuple[int, int, int], made: int) -> Node:
    channels, height, width = shape
    if max(channels * height * width, made) > MAX_ELEMENTS:
        raise ModelError(f"{row.where}: {row.name}: a map of more than {MAX_ELEMENTS:,} elements")
    return Node(index, f"{title}/ifmap", "given", (0,), shape)


def _attributes(row: Row) -> Mapping[str, Attribute]:
    return {"filter_sparsity": row.sparsity} if row.sparsity else NO_ATTRIBUTES
