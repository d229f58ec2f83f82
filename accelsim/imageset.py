"""Large sets of images: one network on thousands of them, in several processes, into a store of traces.

The images of a block are run by one process, which writes one shard; what is there is not made again. An image that cannot be read, or on
which the network fails, becomes a row with its error, and the others go on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from accelsim import configfile, inference, runfile
from accelsim.errors import ConfigError, ModelError, TraceError, UserError, choices
from accelsim.images import images_in
from accelsim.inference import Prepared, stamp
from accelsim.runfile import NetworkFile
from accelsim.trace import MODES
from accelsim.tracestore import TraceStore, discard, shards, writing
from accelsim.transforms import load_network
from accelsim.workers import workers

BLOCK = 16
"""Images in a shard: what is lost at most when work is cut off. Smaller ones share work out more evenly, larger ones make fewer files."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Block:
    """What one process does at a time. `images`: (name, source) of each; `path`: the shard to write."""

    network: NetworkFile
    images: tuple[tuple[str, str], ...]
    epsilon: float
    mode: str
    path: Path


def infer_file(
    file: str | Path,
    store: str | Path,
    images: str | Sequence[str] = (),
    *,
    epsilon: float | None = None,
    mode: str | None = None,
    processes: int | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    progress: Progress = silent,
) -> TraceStore:
    """As `infer`: a network file on `images`, or the one network of a run file on its images or these.

    Raises:  `ConfigError` for a file of another kind, without images, or with several networks; as `infer`
    """
    if configfile.root_key(file) == "network":
        network = runfile.load_network_file(file, overrides)
        if not images:
            raise ConfigError(f"{file}: a network file names no images\n    give some: --images FOLDER")
        epsilon, mode = epsilon or 0.0, mode or MODES[0]
    else:
        from accelsim import simulate  # reports, machines and all: a network file alone needs none of it

        first, *more = simulate.inference_jobs(file, epsilon=epsilon, mode=mode, overrides=overrides)
        if more:
            raise ConfigError(f"{file}: {len(more) + 1} jobs run networks on images, a store holds one\n    give a network file for each")
        network, images, epsilon, mode = first.network, images or first.images, first.epsilon, first.mode
    return infer(network, images, store, epsilon=epsilon, mode=mode, processes=processes, limit=limit, progress=progress)


def infer(
    network: NetworkFile,
    images: str | Path | Sequence[str | Path],
    store: str | Path,
    *,
    epsilon: float = 0.0,
    mode: str = "channel",
    processes: int | None = None,
    block: int = BLOCK,
    limit: int | None = None,
    progress: Progress = silent,
) -> TraceStore:
    """Run a network on many images and keep a trace of each; interrupted or with more images, it goes on where it was.

    `images`: folders with all images in them, photographs, or archives with all images in their arrays. `limit`: the first ones alone.
    `processes`: as many as there are cores if not given; in a script the call stands below `if __name__ == "__main__":`.
    Raises:  `ConfigError`, `ModelError`, `TraceError` for what the user can mend; an image that fails is a row with its error, unless
             every one fails
    """
    if mode not in MODES or not 0 <= epsilon < math.inf:
        raise ConfigError(f"epsilon {epsilon}, mode {mode!r}: finite numbers from 0 are allowed; {choices(MODES, mode)}")
    path = Path(store)
    sources = dict(list(named(images))[:limit])
    with workers(record, processes or os.cpu_count() or 1) as crew:
        graph, recipe = _recipe(network, epsilon, mode)
        with writing(path, recipe, tuple(sources), block) as writer:
            _require_unchanged(path, writer.facts.select(["image", "file_sha256"]).to_pylist(), sources)
            todo = {writer.shard(number): number for number in writer.todo}
            blocks = [
                Block(network, tuple((name, sources[name]) for name in writer.blocks[number]), epsilon, mode, shard)
                for shard, number in todo.items()
            ]
            done, total = len(writer.facts), sum(map(len, writer.blocks))
            progress(f"infer {graph} on {total:,} images", done, total)
            for finished, _ in crew.run(blocks):
                writer.take_in(todo[finished.path])
                done += len(finished.images)
                progress(f"infer {graph} on {total:,} images", done, total)
    made = TraceStore(path)
    if not len(made) and made.failed:
        discard(path)
        raise ModelError(
            f"{path}: none of {len(made.failed):,} images gave a trace, the first because of this:\n{next(iter(made.failed.values()))}"
        )
    return made


def named(images: str | Path | Sequence[str | Path]) -> Iterator[tuple[str, str]]:
    """Name in the store and source of each image, in order: of a folder by relative path, so that no name comes twice.

    Raises:  `ConfigError` where there is nothing, or two images would have one name
    """
    seen: dict[str, str] = {}
    # a lone path is one source, not the letters of its name
    for given in [images] if isinstance(images, str | Path) else images:
        whole = Path(given).is_dir() or ".npz" in str(given)  # several images by itself, no glob
        found = [pair for source in ([given] if whole else runfile.image_list([str(given)])) for pair in images_in(source)]
        if not found:
            raise ConfigError(f"{given}: holds no image\n    allowed: folders with JPEG, PNG, BMP, PPM or .npz files, or such a file")
        for name, source in found:
            if name in seen:
                raise ConfigError(f"{source}: an image {name!r} is there already: {seen[name]}\n    rename one of them, or use two stores")
            seen[name] = source
            yield name, source


def record(block: Block) -> int:
    """Make a block's traces and write its shard; gives how many images there were. Raises `ConfigError` where it cannot be written."""
    prepared = _prepared(block.network)
    shards.write(block.path, (_one(prepared, block, name, source) for name, source in block.images))
    return len(block.images)


def _one(prepared: Prepared, block: Block, name: str, source: str) -> shards.Recorded:
    digest = ""
    try:
        digest = stamp(source)
        photograph = replace(inference.photograph(source, block.network.preprocessing), name=name)
        (trace,) = inference.record(prepared, [photograph], epsilon=block.epsilon, mode=block.mode)
    except UserError as fault:
        # not where it was: a store says the same wherever it is made
        return shards.Recorded(name, digest, None, " ".join(str(fault).replace(source, name).split()))
    return shards.Recorded(name, digest, trace)


def _recipe(network: NetworkFile, epsilon: float, mode: str) -> tuple[str, Mapping[str, str]]:
    """Name of the network, and everything that decides what the traces say."""
    loaded = load_network(network)
    loaded.require_weights()
    made = {
        "network": loaded.graph.name,
        **{f"network {key}": value for key, value in loaded.provenance.items()},
        "preprocessing": network.preprocessing.model_dump_json(exclude_defaults=True),
        "epsilon": repr(float(epsilon)),
        "mode": mode,
        "engine": inference.ENGINE,
    }
    return loaded.graph.name, made


def _require_unchanged(store: Path, rows: Sequence[Mapping[str, str]], sources: Mapping[str, str]) -> None:
    for row in rows:
        source = sources.get(row["image"])
        if source is not None and row["file_sha256"] not in ("", stamp(source)):
            raise TraceError(f"{store}: {source} is another image than the one that its trace was made of\n    name another store: --store")


@cache
def _prepared(network: NetworkFile) -> Prepared:
    """One network a process, made ready once."""
    return inference.prepare(load_network(network))
