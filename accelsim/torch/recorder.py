"""Record traces of a PyTorch model: run it once to learn its graph, then watch its maps, prune them and measure them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from accelsim import tracefile
from accelsim.errors import ModelError, choices
from accelsim.graph import Node
from accelsim.inference import Epsilon, top
from accelsim.layers.base import Tensor
from accelsim.networks.network import output_index
from accelsim.torch.fusion import IMAGES, Plan, plan
from accelsim.torch.learner import Learner
from accelsim.torch.pruning import Pruning
from accelsim.torch.sheet import OPERATIONS
from accelsim.torch.tape import Call, Places, Tape
from accelsim.trace import INFERENCE, MODES, FeatureMap, Trace, measure

ENGINE = f"recorded from PyTorch {torch.__version__}"

_Key = tuple[tuple[int, ...], torch.dtype]
_RANDOM = (torch.nn.modules.batchnorm._NormBase, torch.nn.modules.dropout._DropoutNd)
"""Modules that do something else in training mode."""


def record(
    model: torch.nn.Module,
    *,
    epsilon: Epsilon = 0.0,
    mode: str = "channel",
    part: tuple[int, int] = (8, 8),
    fine_part: tuple[int, int] = (8, 8),
    name: str = "",
    images: Iterable[str] = (),
    opaque: Iterable[str] = (),
) -> Recorder:
    """Make a recorder: every call of `model` inside `with` gives one trace for each image of its batch.

    The first batch of a shape runs twice, the first time to learn who reads what; then buffers and random numbers are put back.
    Afterwards the model is as it was. Numbers that the model reads out of a tensor (`item`, `numpy`) are taken for constants.
    `name`: of the network, by default the model's class. `images`: names of the images in the order in which they come, by default
    image_0, image_1, ... `opaque`: modules (or single calls, named as errors name them) that become one node each without a look
    inside; such a trace has statistics but cannot be replayed.
    Units:   `epsilon`, `mode`, `part`, `fine_part` as `accelsim.inference.record`
    Raises:  `ModelError` at once for settings without a meaning and for modules that hide what they do; when the model runs, for all
             operations together that cannot be recorded, and for a map that is not finite
    """
    if mode not in MODES:
        raise ModelError(f"mode {mode!r}; {choices(MODES, mode)}")
    for layer, value in epsilon.items() if isinstance(epsilon, Mapping) else [("", epsilon)]:
        if not (math.isfinite(value) and value >= 0):
            raise ModelError(f"epsilon {value}{f' of {layer}' if layer else ''}; allowed: finite numbers from 0")
    for what, size in (("part", part), ("fine_part", fine_part)):
        if min(size) < 1:
            raise ModelError(f"{what} {size[0]} x {size[1]}; allowed: 1 x 1 or more")
    names = tuple(images)
    if len(set(names)) < len(names):
        raise ModelError(f"images: {max(names, key=names.count)!r} comes twice; traces are filed by these names")
    return Recorder(model, Pruning(epsilon, mode, part), fine_part, name or type(model).__name__, names, frozenset(opaque))


class Recorder:
    """Records while it is entered; `traces` are those so far, and may be emptied in between. See `record`."""

    def __init__(
        self,
        model: torch.nn.Module,
        pruning: Pruning,
        fine_part: tuple[int, int],
        name: str,
        images: tuple[str, ...],
        opaque: frozenset[str],
    ) -> None:
        _require_open(model, name, opaque)
        self.traces: list[Trace] = []
        self._model = model
        self._pruning = pruning
        self._fine_part = fine_part
        self._name = name
        self._images = images
        self._opaque = opaque
        self._seen = 0
        self._plans: dict[_Key, Plan] = {}
        self._places = Places(model, opaque)
        self._provenance: dict[str, str] = {}
        self._original: Callable[..., Any] = model.forward

    def __enter__(self) -> Recorder:
        model = self._model
        if isinstance(getattr(model.forward, "__self__", None), Recorder):
            raise ModelError(f"{self._name}: it is being recorded already; leave that `with` first")
        self._plans.clear()
        self._provenance = _provenance(model, self._pruning, self._opaque)
        self._own = model.__dict__.get("forward")
        self._original = model.forward
        self._places.__enter__()
        model.__dict__["forward"] = self._forward
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._places.__exit__(kind, fault, trace)
        if self._own is None:
            del self._model.__dict__["forward"]
        else:
            self._model.__dict__["forward"] = self._own

    def save(self, folder: str | Path) -> list[Path]:
        """Write each trace so far to a file of its own in `folder`. Raises `TraceError` where that cannot be written."""
        paths = []
        for trace in self.traces:
            pruned = f"_{trace.mode}_eps{trace.epsilon:g}" if trace.epsilon else ""
            paths.append(Path(folder) / f"{trace.graph.name}_{trace.image}{pruned}.npz".replace("/", "_"))
            tracefile.save(trace, paths[-1])
        return paths

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model's `forward` is while it is recorded."""
        if self._places.tape is not None:
            return self._original(*args, **kwargs)
        images = self._only_tensor(args, kwargs)
        if not len(images):
            return self._original(*args, **kwargs)
        self._require_inference()
        key = (tuple(images.shape[1:]), images.dtype)
        if key in self._plans:
            # the model may write into its input; if it does something else this time, it must run again
            spare = _with(args, kwargs, images)
            watcher, output = self._watch(self._plans[key], images, args, kwargs)
            if watcher.agrees:
                return output
            (args, kwargs), images = spare, self._only_tensor(*spare)
        self._plans[key] = self._learn(images, args, kwargs)
        watcher, output = self._watch(self._plans[key], images, args, kwargs)
        if not watcher.agrees:
            raise ModelError(
                f"{self._name}: it does not do the same twice for one batch (random choices, counters, or epsilon changes what it does); "
                "its graph cannot be learned"
            )
        return output

    def _learn(self, images: torch.Tensor, args: Any, kwargs: Any) -> Plan:
        """Run the model on a copy of the images and make its graph."""
        args, kwargs = _with(args, kwargs, images)
        learner = Learner(self._places, self._only_tensor(args, kwargs), self._opaque)
        before = [(buffer, buffer.detach().clone()) for buffer in self._model.buffers()]
        try:
            with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
                returned = learner.returned(self._run(learner, args, kwargs))
        finally:
            for buffer, value in before:
                if not torch.equal(buffer, value):
                    buffer.data.copy_(value)
        if learner.faults:
            raise _refusal(self._name, learner.faults)
        if returned is None:
            raise ModelError(
                f"{self._name}: what it returns does not come from the images by calls of PyTorch that can be seen\n"
                "    does it leave PyTorch in between (numpy, a list of numbers, a transform such as vmap)?"
            )
        unused = sorted(self._opaque - learner.closed)
        if unused:
            raise ModelError(f"{self._name}: opaque: {unused[0]!r} is no module or call that ran\n    {_modules(self._model, unused[0])}")
        found = plan(self._name, learner.sheet.drafts, returned, learner.calls)
        self._pruning.check(found.graph)
        return found

    def _watch(self, known: Plan, images: torch.Tensor, args: Any, kwargs: Any) -> tuple[_Watcher, Any]:
        """Run the model and make the traces, unless it does something else than is known."""
        names = [self._image(self._seen + number) for number in range(len(images))]
        hashes = [hashlib.sha256(_array(image).tobytes()).hexdigest() for image in images]
        watcher = _Watcher(self._places, images, known, self._pruning, self._fine_part)
        output = self._run(watcher, args, kwargs)
        if watcher.agrees:
            for number, (name, digest) in enumerate(zip(names, hashes, strict=True)):
                provenance = {**self._provenance, "image": name, "image_sha256": digest}
                if watcher.best:
                    provenance["top5"] = watcher.best[number]
                maps = tuple(maps[number] for maps in watcher.maps)
                epsilon, mode = self._pruning.largest, self._pruning.mode
                self.traces.append(Trace(known.graph, maps, name, epsilon, mode, self._fine_part, INFERENCE, provenance))
            self._seen += len(images)
        return watcher, output

    def _run(self, tape: Tape, args: Any, kwargs: Any) -> Any:
        self._places.begin(tape)
        try:
            with tape:
                return self._original(*args, **kwargs)
        finally:
            self._places.begin(None)

    def _only_tensor(self, args: Any, kwargs: Any) -> torch.Tensor:
        found = [item for item in (*args, *kwargs.values()) if isinstance(item, torch.Tensor)]
        if len(found) != 1 or found[0].dim() < 2:
            given = ", ".join(str(list(tensor.shape)) for tensor in found) or "none"
            raise ModelError(f"{self._name}: called with tensors {given}; one batch of images [N, C, H, W] is needed")
        return found[0]

    def _require_inference(self) -> None:
        for path, module in self._model.named_modules():
            if module.training and isinstance(module, _RANDOM) and getattr(module, "p", 1):
                raise ModelError(f"{self._name}: {path} ({type(module).__name__}) is in training mode; call model.eval() first")

    def _image(self, number: int) -> str:
        if number < len(self._images):
            return self._images[number]
        name = f"image_{number}"
        while name in self._images:
            name += "_"
        return name


class _Watcher(Tape):
    """Compares what the model does with a plan, and prunes and measures each map when it is complete."""

    def __init__(self, places: Places, images: torch.Tensor, known: Plan, pruning: Pruning, fine_part: tuple[int, int]) -> None:
        super().__init__(places, images)
        self.maps: list[list[FeatureMap]] = [[] for _ in known.graph.nodes]
        self.best: list[str] = []
        self._known = known
        self._pruning = pruning
        self._fine_part = fine_part
        self._differs = False
        self._complete(IMAGES, images)

    @property
    def agrees(self) -> bool:
        """Whether the model did what the plan says, all of it."""
        return not self._differs and len(self.calls) == len(self._known.calls)

    def saw(self, call: Call, read: list[torch.Tensor], described: tuple[Any, Any], made: list[torch.Tensor]) -> None:
        """Finish the maps that this call completes."""
        number = len(self.calls) - 1
        self._differs = self._differs or number >= len(self._known.calls) or self._known.calls[number] != call
        if not self._differs:
            for output, tensor in enumerate(made):
                self._complete((number, output), tensor)

    def _complete(self, place: tuple[int, int], tensor: torch.Tensor) -> None:
        for index in self._known.complete.get(place, ()):
            node = self._known.graph.nodes[index]
            data = tensor.detach().reshape(self.batch, *node.shape)
            self._require_finite(node, data)
            limit = self._pruning.of(node)
            if limit:
                data = data.masked_fill(self._pruning.overwritten(data, limit), 0)
                # through `data`, so that autograd's count of writes does not change
                tensor.data.copy_(data.reshape(tensor.shape))
            arrays = [_array(image) for image in data]
            self.maps[index] = [measure(array, self._fine_part) for array in arrays]
            if node.kind == "softmax" and index == output_index(self._known.graph):
                self.best = [" ".join(f"{at}:{value:.4f}" for at, value in top(array)) for array in arrays]

    def _require_finite(self, node: Node, data: torch.Tensor) -> None:
        if not bool(torch.isfinite(data).all()):
            channel = int(torch.isfinite(data).logical_not().any(dim=3).any(dim=2).any(dim=0).to(torch.int8).argmax())
            remedy = "change the preprocessing" if node.kind == "input" else "check the weights, the preprocessing and the layers before it"
            where = f"channel {channel} of {node.shape[0]}"
            raise ModelError(f"{self._known.graph.name}: {node.name}: NaN or infinity in its output ({where}); {remedy}")


def _require_open(model: torch.nn.Module, name: str, opaque: frozenset[str]) -> None:
    """Refuse modules whose operations cannot be seen."""
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{name}: a torch.nn.Module is needed")
    for path, module in model.named_modules():
        if hasattr(module, "_orig_mod"):
            raise ModelError(
                f"{name}: {path or 'the model'} is compiled, which hides what it does; record the model from before torch.compile"
            )
        if isinstance(module, torch.jit.ScriptModule) and not any(path == closed or path.startswith(f"{closed}.") for closed in opaque):
            raise ModelError(f"{name}: {path or 'the model'} is scripted, which hides what it does; record the model from before torch.jit")


def _refusal(name: str, faults: dict[str, str]) -> ModelError:
    """One error that names all operations and what to do."""
    lines = "".join(f"\n    {place}: {fault}" for place, fault in faults.items())
    return ModelError(
        f"{name}: {len(faults)} operation{'s' * (len(faults) > 1)} cannot be recorded{lines}\n"
        f"    write it with known operations ({', '.join(sorted(OPERATIONS))}),\n"
        f"    or record it, or the module it is part of, as one node without a look inside: record(model, opaque=[{next(iter(faults))!r}])"
    )


def _modules(model: torch.nn.Module, given: str) -> str:
    return choices([path for path, _ in model.named_modules() if path], given, "modules")


def _with(args: Any, kwargs: Any, images: torch.Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments with a copy of the images."""
    copy = images.detach().clone().requires_grad_(images.requires_grad)
    return tuple(copy if item is images else item for item in args), {key: copy if item is images else item for key, item in kwargs.items()}


def _array(image: torch.Tensor) -> Tensor:
    """One map as numpy has it. Shapes: float32 [C, H, W]."""
    found: Tensor = image.detach().to("cpu", torch.float32).contiguous().numpy()
    return found


def _provenance(model: torch.nn.Module, pruning: Pruning, opaque: frozenset[str]) -> dict[str, str]:
    weights = hashlib.sha256()
    for key, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            weights.update(f"{key} {value.dtype} {list(value.shape)}\n".encode())
            weights.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    found = {
        "network": f"PyTorch module {type(model).__module__}.{type(model).__qualname__}",
        "weights_sha256": weights.hexdigest(),
        "preprocessing": "by the caller; the hash of the image is that of its tensor in float32",
        "engine": ENGINE,
    }
    if opaque:
        found["opaque"] = ", ".join(sorted(opaque))
    return found | pruning.told()
