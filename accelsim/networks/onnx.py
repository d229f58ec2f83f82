"""Networks from ONNX: any feed-forward network whose operators are known, one image at a time.

`onnx` is an optional extra. It is imported by the modules `onnx_*` beside this one, and only when a network is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import ModelError
from accelsim.networks.network import Network, file_sha256

if TYPE_CHECKING:
    from accelsim.networks.onnx_build import View


@dataclass(frozen=True, eq=False)
class Imported:
    """A network and what became of the tensors of its file.

    `tensors`: name -> the node that makes it, and its sizes in the file; tensors that became part of another node (a convolution
    before its activation, say) are not among them.
    """

    network: Network
    tensors: Mapping[str, View]


def load(path: str | Path, name: str | None = None) -> Network:
    """Load a network from an ONNX file.

    Nodes are named as in the file, or by operator and number where it gives no name. Batch normalisation is folded into the layer before
    it, activations are part of the node that makes their input, where nobody else reads that. A batch is taken as one image. Numbers of
    any real type are computed with in float32. `name` is by default the file name without suffix.
    Raises:  `ModelError` in one line where the file is damaged, hostile or not ONNX, and one that lists all operators that are not known;
             also where the `onnx` package is not installed
    """
    return read(path, name).network


def read(path: str | Path, name: str | None = None) -> Imported:
    """Load a network and tell which node makes which tensor. Raises `ModelError` as `load`."""
    path = Path(path)
    try:
        from accelsim.networks import onnx_read
    except ModuleNotFoundError as fault:
        if fault.name is None or fault.name.partition(".")[0] != "onnx":
            raise
        raise ModelError(f"{path}: ONNX networks need the onnx package\n    install it: pip install 'accelsim[onnx]'") from fault
    provenance = {"network_file": path.name, "network_sha256": file_sha256(path)}
    network, tensors = onnx_read.read(path, name or path.stem, provenance)
    return Imported(network, tensors)
