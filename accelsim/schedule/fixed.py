"""What the user fixed of a layer's tiling, held against the layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from accelsim.errors import ConfigError, choices
from accelsim.hardware import Accelerator
from accelsim.hardware.tilings import FREE, FixedTiling
from accelsim.schedule.geometry import Geometry
from accelsim.schedule.loops import extents


def fixed_tiling(layer: Geometry, accelerator: Accelerator, node: str, label: str) -> FixedTiling:
    """Everything that is fixed for a layer: its own entry over the default, sizes of the default cut down to the layer's.

    Units:   `node`: the layer's name; `label`: as error messages call it
    Raises:  `ConfigError` for a size of its own entry that the layer does not have, or sizes that exclude each other, with their places
    """
    tilings = accelerator.tiling
    if not tilings.layers and tilings.default == FREE:
        return FREE
    own = tilings.layers.get(node, FixedTiling())
    most = _most(layer)
    faults = [
        f"{label}: {name} fixed at {value:,} ({accelerator.place(f'tiling.layers.{node}.{name}')}), the layer has {most[name]:,}\n"
        f"    allowed: 1 to {most[name]:,}"
        for name, value in own
        if name in most and value is not None and value > most[name]
    ]
    if faults:
        raise ConfigError(*faults)
    if own.images is not None and own.images > 1 and own.rows is None:
        under = tilings.default.model_copy(update={"rows": None})
    else:
        under = tilings.default.model_copy(update={"images": None} if own.rows is not None else {})
    cut = {name: min(value, most[name]) for name, value in under if name in most and value is not None}
    wanted = own.over(under.model_copy(update=cut))
    if not layer.weights:
        wanted = wanted.model_copy(update={"filters_at_once": None, "order": None})
    inside = [name for name in ("filters", "channels") if (getattr(wanted, name) or most[name]) < most[name]]
    if (wanted.groups or 1) > 1 and inside:
        raise ConfigError(
            f"{label}: {wanted.groups} groups in a tile, but {' and '.join(inside)} fixed below the {most[inside[0]]:,} of a group "
            f"({written(accelerator, node)})\n    fix groups at 1, or leave {' and '.join(inside)} out"
        )
    return wanted


def written(accelerator: Accelerator, node: str) -> str:
    """Where the first fixed value that counts for a layer was written; empty where none was."""
    for path, entry in ((f"tiling.layers.{node}", accelerator.tiling.layers.get(node)), ("tiling.default", accelerator.tiling.default)):
        for name, value in entry or ():
            if value is not None:
                return accelerator.place(f"{path}.{name}")
    return ""


def require_layers(accelerator: Accelerator, scheduled: Collection[str], fused: Mapping[str, str], network: str) -> None:
    """Refuse tilings of layers that the network does not have, or that have no tiles.

    Units:   `scheduled`: names of layers with tiles; `fused`: of those without, and why
    Raises:  `ConfigError` with all of them and their places
    """
    faults = []
    for name, entry in accelerator.tiling.layers.items():
        if name in scheduled:
            continue
        keys = [f"tiling.layers.{name}.{key}" for key, value in entry if value is not None]
        place = accelerator.place(keys[0] if keys else f"tiling.layers.{name}")
        if name in fused:
            faults.append(f"{place}: layer {name!r} of {network} has no tiles: {fused[name]}")
        else:
            faults.append(f"{place}: {network} has no layer {name!r}\n    {choices(list(scheduled), name)}")
    if faults:
        raise ConfigError(*faults)


def _most(layer: Geometry) -> dict[str, int]:
    """The largest size of each kind that a layer has."""
    groups, filters, channels, rows, cols = extents(layer)
    sizes = {"groups": groups, "filters": filters, "filters_at_once": filters, "channels": channels}
    return {**sizes, "rows": rows // layer.images, "columns": cols, "images": layer.images}
