"""The whole walk in one function: infer if needed, replay under every scheme, compare, write results and figures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from accelsim import batch, configfile, engines, inference, report, runfile, tracefile, tracestore, transforms
from accelsim.errors import ConfigError, EngineError, choices
from accelsim.hardware import Accelerator, describe
from accelsim.kernels.compile import is_compiled
from accelsim.kernels.windows import conv2d as convolution_kernel
from accelsim.networks import darknet, onnx, scalesim, synthetic, zoo
from accelsim.networks.beside import beside
from accelsim.networks.network import Network
from accelsim.report import Comparison, Result, chrome
from accelsim.runfile import InferenceJob, Job, Run, TraceJob
from accelsim.schedule import build
from accelsim.schedule.tables import Schedule
from accelsim.schemes import load as load_scheme
from accelsim.timeline import Timeline
from accelsim.trace import PUBLISHED, Trace
from accelsim.validation.activations import Validation

Keep = Callable[[Trace, Schedule, Timeline], None]
"""Called with each replay's tables, which a result does not hold."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def forget(trace: Trace, schedule: Schedule, times: Timeline) -> None:
    """Keep nothing."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a run made: one comparison per trace, in the order of its jobs, and the folder that holds its results."""

    comparisons: tuple[Comparison, ...]
    traces: tuple[Trace, ...]
    folder: Path

    def __repr__(self) -> str:
        return "\n".join([f"Outcome({len(self.comparisons)} comparisons, results in {self.folder})", *map(repr, self.comparisons)])

    def _repr_html_(self) -> str:
        return "".join(comparison._repr_html_() for comparison in self.comparisons)


def run(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    engine: str | None = None,
    results: str | Path | None = None,
    figures: bool = True,
    timelines: bool = False,
    progress: Progress = silent,
) -> Outcome:
    """Do everything that a run file asks for and write its results folder.

    `overrides`: `dotted.path=value`; `engine` and `results` override those keys. `timelines`: write one of each replay, for Perfetto.
    Raises:  `ConfigError`, `ModelError`, `TraceError` for what the user can mend, before anything is written
    """
    asked = runfile.load_run(file, overrides)
    engine = engines.known(engine or asked.engine)
    folder = Path(results) if results is not None else asked.results
    report.require_writable(folder)
    comparisons: list[Comparison] = []
    traces: list[Trace] = []
    files: dict[str, bytes] = {}

    def keep(trace: Trace, schedule: Schedule, times: Timeline) -> None:
        name = f"{trace.graph.name}_{trace.image}_{schedule.scheme}.json".replace("/", "_")
        files[f"timelines/{name}"] = chrome.timeline(trace, schedule, times, asked.accelerator)

    for trace in traces_of(asked, progress):
        comparisons.append(compare(trace, asked.accelerator, asked.schemes, engine, progress, keep if timelines else forget))
        traces.append(trace)
        if asked.keep_traces is not None and trace.source != PUBLISHED:
            tracefile.save(trace, asked.keep_traces / trace_name(trace))
    resolved = asked.model_copy(update={"engine": engine, "results": folder})
    _write(folder, comparisons, traces, runfile.describe(resolved), figures, progress, files)
    return Outcome(tuple(comparisons), tuple(traces), folder)


def infer(
    file: str | Path,
    out: str | Path,
    images: Sequence[str] = (),
    *,
    epsilon: float | None = None,
    mode: str | None = None,
    threads: int | None = None,
    overrides: Sequence[str] = (),
    progress: Progress = silent,
) -> Iterator[tuple[Path, Trace]]:
    """Run networks on images and save one trace each in `out`: all jobs of a run file, or a network file on `images`.

    Yields each trace's path and the trace as soon as it is on disk.
    Raises:  `ConfigError` for a file of another kind or without images, `ModelError` as `inference.record`
    """
    for job in inference_jobs(file, images, epsilon=epsilon, mode=mode, threads=threads, overrides=overrides):
        for trace in _record(job, progress):
            path = Path(out) / trace_name(trace)
            tracefile.save(trace, path)
            yield path, trace


def inference_jobs(
    file: str | Path,
    images: Sequence[str] = (),
    *,
    epsilon: float | None = None,
    mode: str | None = None,
    threads: int | None = None,
    overrides: Sequence[str] = (),
) -> list[InferenceJob]:
    """The networks that a run file runs on images, or a network file on `images`; what is given goes before what a run file says.

    Raises:  `ConfigError` for a file of another kind or without images
    """
    kind, images = configfile.root_key(file), runfile.image_list(images)
    if kind == "network":
        if not images:
            raise ConfigError(f"{file}: a network file names no images\n    give some: --image photo.jpg")
        network = runfile.load_network_file(file, overrides)
        jobs = [InferenceJob(network=network, images=images)]
    else:
        jobs = [job for job in runfile.load_run(file, overrides).jobs if isinstance(job, InferenceJob)]
        if not jobs:
            raise ConfigError(f"{file}: none of its jobs runs a network on images\n    add one: {{network: ..., images: [...]}}")
        if images:
            jobs = [job.model_copy(update={"images": images}) for job in jobs]
    change = {key: value for key, value in (("epsilon", epsilon), ("mode", mode), ("threads", threads)) if value is not None}
    return [job.model_copy(update=change) for job in jobs]


def compare(
    trace: Trace, accelerator: Accelerator, schemes: Iterable[str], engine: str = "fast", progress: Progress = silent, keep: Keep = forget
) -> Comparison:
    """Replay one trace on one machine under dense and the given schemes, dense first. `keep` gets the tables of each replay."""
    names = list(dict.fromkeys(["dense", *(load_scheme(scheme).label for scheme in schemes)]))
    results = []
    if engine == "fast" and not is_compiled(engines.loop(accelerator)):
        progress("compile the replay kernel (first use; later runs find it cached)", 0, len(names))
    for done, scheme in enumerate(names):
        progress(f"replay {trace.graph.name}, {trace.image}: {scheme}", done, len(names))
        results.append(replay(trace, accelerator, scheme, engine, keep))
    return Comparison.of(results)


def replay(
    trace: Trace | str | Path,
    accelerator: Accelerator | str | Path,
    scheme: str = "channel_marker",
    engine: str = "fast",
    keep: Keep = forget,
) -> Result:
    """Replay one trace on one machine under one scheme. Trace and accelerator may be paths of their files. `keep` gets the tables.

    `scheme`: `channel_marker`, or with a weight scheme `channel_marker+eie`; a trace from a file then needs weights (`networks.beside`).
    Raises:  `ConfigError`, `TraceError` for what the user can mend; `EngineError` for a broken identity
    """
    data = trace if isinstance(trace, Trace) else tracefile.load(trace)
    machine = accelerator if isinstance(accelerator, Accelerator) else load_accelerator(accelerator)
    data = batch.repeat(data, machine.batch)
    return replay_schedule(data, build(data, machine, scheme), machine, engine, keep)


def replay_schedule(trace: Trace, schedule: Schedule, machine: Accelerator, engine: str = "fast", keep: Keep = forget) -> Result:
    """Replay a schedule on the machine it was built for, or on one with another clock, link, DRAM or prices: no schedule depends on those.

    `trace`: what it was built of, batched already.
    Raises:  `EngineError` for a broken identity
    """
    try:
        timeline = engines.replay(schedule, machine, engine)
    except EngineError as fault:
        raise EngineError(f"{trace.graph.name}, {trace.image}, {schedule.scheme} on {machine.name} ({engine}): {fault}") from fault
    keep(trace, schedule, timeline)
    return Result.of(trace, machine, schedule, timeline, engine=engine)


def write(
    folder: str | Path,
    comparisons: Sequence[Comparison],
    traces: Sequence[Trace],
    accelerator: Accelerator,
    *,
    figures: bool = True,
    progress: Progress = silent,
) -> None:
    """Write a results folder for comparisons that were made one by one on one machine."""
    _write(Path(folder), comparisons, traces, describe(accelerator), figures, progress)


def write_timeline(path: str | Path, trace: Trace, replays: Sequence[tuple[Schedule, Timeline]], accelerator: Accelerator) -> None:
    """Write the timelines of replays of one trace on one machine into one file, which Perfetto opens."""
    path = Path(path)
    report.write_files(path.parent, {path.name: chrome.side_by_side(trace, replays, accelerator)})


def plot(folder: str | Path, style: str = "paper") -> Iterator[Path]:
    """Draw the figures of a results folder again from its tables, without simulating; yields the files written.

    `style`: one of `plots.LOOKS`. Raises `ConfigError` for another style, or a folder without those tables.
    """
    from accelsim import plots

    folder, look = Path(folder), plots.look(style)
    layers, bandwidth, peaks = report.read_layers(folder), report.read_bandwidth(folder), report.read_peaks(folder)
    width = look.width
    figures = itertools.chain(plots.of_layers(layers, width), plots.of_bandwidth(bandwidth, width), plots.of_run(layers, peaks, width))
    yield from report.write_files(folder, dict(plots.files(figures, look.dpi)))


def load_accelerator(path: str | Path, overrides: Sequence[str] = ()) -> Accelerator:
    """Read an accelerator file. Raises `ConfigError` with every fault of the file."""
    from accelsim import hardware

    return hardware.load_accelerator(path, overrides)


load_network = transforms.load_network


def open_network(source: str | Path, overrides: Sequence[str] = ()) -> Network:
    """Read a network however it is written: `zoo:NAME`, a network file (.yaml), .onnx, Darknet's .cfg (shapes alone), SCALE-Sim's .csv.

    `overrides`: `dotted.path=value` for a network file.
    Raises:  `ConfigError` or `ModelError` with every fault
    """
    text, path = str(source), Path(source)
    if text.startswith(zoo.PREFIX):
        return zoo.load(text.removeprefix(zoo.PREFIX))
    ways: Mapping[str, Callable[[], Network]] = {
        ".cfg": lambda: darknet.load(path),
        ".csv": lambda: scalesim.load(path),
        ".onnx": lambda: onnx.load(path),
        ".yaml": lambda: load_network(runfile.load_network_file(path, overrides)),
        ".yml": lambda: load_network(runfile.load_network_file(path, overrides)),
    }
    if path.suffix not in ways:
        allowed = [f"{zoo.PREFIX}NAME", *ways]
        raise ConfigError(f"{text}: is not known to hold a network\n    {choices(allowed, path.suffix)}")
    return ways[path.suffix]()


def synthetic_trace(
    network: str | Path | None = None,
    zero_channels: Sequence[str] | None = None,
    sparsity: Sequence[str] | None = None,
    *,
    seed: int = 0,
    masks: bool = True,
    like: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Trace:
    """Make a trace with random zeros of a network, or one that is like another trace.

    `zero_channels`, `sparsity`: one share as text ('0.1'), or shares by name of layer ('conv1=0.2', ...); 0.1 and 0.5 if not given.
    Raises:  `ConfigError` where not exactly one of `network` and `like` is given; as `open_network` and `synthetic.trace`
    """
    if (network is None) == (like is None):
        raise ConfigError("a synthetic trace is made of one network\n    give --network, or --like with a trace")
    if like is not None:
        if zero_channels or sparsity or not masks:
            raise ConfigError(
                "--like takes the shares from its trace, and makes masks\n    remove --zero-channels, --sparsity, --statistics"
            )
        return synthetic.like(tracefile.load(like), seed)
    found = open_network(network or "", overrides)
    channels, elements = synthetic.shares(zero_channels or ["0.1"]), synthetic.shares(sparsity or ["0.5"])
    return synthetic.trace(found.graph, zero_channels=channels, sparsity=elements, seed=seed, masks=masks, provenance=found.provenance)


def validate_activations(
    network: str | Path, table: str | Path, images: str | Path, tensors: str | Path | None = None, progress: Progress = silent
) -> Validation:
    """Compare a network's feature maps with an independent implementation's, layer by layer."""
    from accelsim.validation import activations

    file = runfile.load_network_file(network)
    archive = None if tensors is None else Path(tensors)
    return activations.validate(load_network(file), Path(table), Path(images), file.preprocessing, tensors=archive, progress=progress)


def trace_name(trace: Trace) -> str:
    """File name of a trace: network, image, and what was done to the data if anything was."""
    pruned = f"_{trace.mode}_eps{trace.epsilon:g}" if trace.epsilon else ""
    return f"{trace.graph.name}_{trace.image}{pruned}.npz".replace("/", "_")


def traces_of(asked: Run, progress: Progress = silent) -> Iterator[Trace]:
    """Traces of all jobs of a run file.

    Results are filed by network and image, so an image that comes again is told apart by what was done to it.
    """
    seen: set[tuple[str, str]] = set()
    values = any(load_scheme(scheme).needs == "values" for scheme in asked.schemes)
    for job in asked.jobs:
        for trace in _of_job(job, values, progress):
            image = next(image for image in _labels(trace) if (trace.graph.name, image) not in seen)
            seen.add((trace.graph.name, image))
            yield replace(trace, image=image)


def _of_job(job: Job, values: bool, progress: Progress) -> Iterator[Trace]:
    if isinstance(job, InferenceJob):
        yield from _record(job, progress, values)
        return
    network = None if job.network is None else load_network(job.network, progress)
    if isinstance(job, TraceJob):
        traces: Iterable[Trace] = [tracefile.load(job.trace)]
    else:
        store = tracestore.TraceStore(job.traces)
        traces = map(store.load, store.select(job.images)[: job.limit])
    yield from traces if network is None else (beside(trace, network) for trace in traces)


def _labels(trace: Trace) -> Iterator[str]:
    """What the image of a trace may be called, the plain name first."""
    yield trace.image
    done = f"eps {trace.epsilon:g}, {trace.mode}" if trace.epsilon else trace.source.split()[0]
    yield f"{trace.image} ({done})"
    yield from (f"{trace.image} ({done}, {number})" for number in itertools.count(2))


def _record(job: InferenceJob, progress: Progress, values: bool = False) -> Iterator[Trace]:
    prepared = inference.prepare(load_network(job.network), threads=job.threads)
    if not is_compiled(convolution_kernel):
        progress("compile the inference kernels (first use; later runs find them cached)", 0, len(job.images))
    photographs = (inference.photograph(image, job.network.preprocessing) for image in job.images)
    return inference.record(prepared, photographs, epsilon=job.epsilon, mode=job.mode, values=values, progress=progress)


def _write(
    folder: Path,
    comparisons: Sequence[Comparison],
    traces: Sequence[Trace],
    config: str,
    figures: bool,
    progress: Progress,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    files = dict(files)
    from accelsim import page

    if figures:
        import pandas as pd

        from accelsim.plots import gallery

        for done, (comparison, trace) in enumerate(zip(comparisons, traces, strict=True)):
            progress(f"draw {comparison.network}, {comparison.image}", done, len(comparisons))
            files |= gallery.files(gallery.of_layers(comparison.as_frame()))
            files |= gallery.files(gallery.of_bandwidth(comparison.bandwidth_frame()))
            files |= gallery.files(gallery.of_trace(trace))
        peaks = {(each.network, each.image): report.peak_rates(each.accelerator) for each in comparisons}
        files |= gallery.files(gallery.of_run(pd.concat([each.as_frame() for each in comparisons]), peaks))
    made = report.contents(comparisons, config, files)
    report.write_files(folder, {page.NAME: page.of_folder(made), **made})
