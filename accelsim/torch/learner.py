"""A first run of a model: what each of its calls means, until the graph is known."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from accelsim.torch import elementwise, layers, moves  # noqa: F401 - they enter their operations
from accelsim.torch.sheet import OPERATIONS, Known, Lost, Operation, Refusal, Sheet
from accelsim.torch.tape import Call, Function, Places, Tape, full_name, operation_name, substitute, tensors

SHAPE_ONLY = frozenset({"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like"})
"""Functions that read the form of their argument, not its data; so are all `new_...`."""


class Learner(Tape):
    """Draws up a `Sheet`. Operations that are not known lose the data; that is a fault only where lost data matters later."""

    def __init__(self, places: Places, images: torch.Tensor, opaque: frozenset[str]) -> None:
        super().__init__(places, images)
        self.sheet = Sheet(images)
        self.opaque = opaque
        self.closed: set[str] = set()
        self.faults: dict[str, str] = {}
        self._held = WeakTensorKeyDictionary()
        self._hold(images, Known(0, tuple(images.shape[1:])))

    def describe(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Copy the arguments with known tensors replaced by what they hold."""
        return substitute(list(args), self._what), substitute(kwargs, self._what)

    def saw(self, call: Call, read: list[torch.Tensor], described: tuple[Any, Any], made: list[torch.Tensor]) -> None:
        """Draft what the call makes."""
        name, (args, kwargs) = self._name(call.function), described
        self.sheet.begin(name, len(self.calls) - 1, call.shapes, read[0], made[0])
        results: Sequence[Known | Lost | None]
        if isinstance(call.function, str) or name in self.opaque:
            results = self._closed(args, kwargs, made)
        else:
            results = self._understood(name, call.function, args, kwargs, made)
        for tensor, result in zip(made, results, strict=True):
            self._hold(tensor, result)

    def returned(self, output: Any) -> set[int] | None:
        """Drafts whose data the model returns; None where it returns nothing that comes from the images."""
        found = [(tensor, self._what(tensor)) for tensor in tensors(output)]
        for tensor, what in found:
            if isinstance(what, Lost) and tensor.is_floating_point():
                self.faults |= what.causes
        held = [what for _, what in found if isinstance(what, Known | Lost)]
        return {what.draft for what in held if isinstance(what, Known)} if held else None

    def _understood(self, name: str, function: Function, args: Any, kwargs: Any, made: list[torch.Tensor]) -> Sequence[Known | Lost | None]:
        causes = _causes((args, kwargs))
        operation = operation_name(function)
        handler = OPERATIONS.get(operation)
        if operation in SHAPE_ONLY or operation.startswith("new_"):
            return [None] * len(made)
        count = len(self.sheet.drafts)
        try:
            if handler is None:
                raise Refusal("not known")
            if causes:
                self.faults |= causes
                return [Lost(causes)] * len(made)
            self._keeps_the_batch(made)
            _bind(handler, self.sheet, args, kwargs)
            result = handler(self.sheet, *args, **kwargs)
        except Refusal as refusal:
            self.sheet.forget(count)
            return [Lost({**causes, name: f"{full_name(function)}: {refusal}"})] * len(made)
        return [result] if isinstance(result, Known) else result

    def _closed(self, args: Any, kwargs: Any, made: list[torch.Tensor]) -> list[Known | Lost]:
        """One node for each tensor that an opaque module or call makes."""
        self.closed.add(self.sheet.name)
        self.faults |= _causes((args, kwargs))
        inputs = [what for what in _held((args, kwargs)) if isinstance(what, Known)]
        results: list[Known | Lost] = []
        for output, tensor in enumerate(made):
            try:
                self._keeps_the_batch([tensor])
                results.append(self.sheet.add("opaque", *inputs, output=output))
            except Refusal as refusal:
                results.append(Lost({self.sheet.name: f"opaque: {refusal}"}))
        return results

    def _keeps_the_batch(self, made: list[torch.Tensor]) -> None:
        for tensor in made:
            if tensor.dim() == 0 or len(tensor) != self.batch:
                raise Refusal(f"it makes a tensor {list(tensor.shape)} of a batch of {self.batch}; the first axis must be the batch")

    def _name(self, function: Function) -> str:
        if isinstance(function, str):
            return function
        path, operation = self.places.path, operation_name(function).strip("_")
        return path if self.places.is_layer else f"{path}.{operation}" if path else operation

    def _what(self, tensor: torch.Tensor) -> Any:
        """What a tensor holds: `Known`, `Lost`, or itself where that has nothing to do with the images."""
        if tensor not in self._held:
            return tensor
        version, what = self._held[tensor]
        if what is None:
            return tensor
        if version != _version(tensor):
            return Lost({self._at(what): "it was changed in place through another view of it; work on a copy instead"})
        return what

    def _at(self, what: Known | Lost) -> str:
        return self.sheet.drafts[what.draft].name if isinstance(what, Known) else next(iter(what.causes))

    def _hold(self, tensor: torch.Tensor, what: Known | Lost | None) -> None:
        self._held[tensor] = (_version(tensor), what)


def _bind(operation: Operation, sheet: Sheet, args: Any, kwargs: Any) -> None:
    """Check that an operation takes these arguments."""
    try:
        inspect.signature(operation).bind(sheet, *args, **kwargs)
    except TypeError as fault:
        raise Refusal(f"with these arguments: {fault}") from fault


def _version(tensor: torch.Tensor) -> int:
    """How often a tensor's memory was written; tensors of `torch.inference_mode` do not count."""
    return -1 if tensor.is_inference() else tensor._version


def _held(item: Any) -> list[Known | Lost]:
    """All known and lost data in substituted arguments."""
    if isinstance(item, Known | Lost):
        return [item]
    if isinstance(item, dict):
        item = item.values()
    elif not isinstance(item, list | tuple):
        return []
    return [what for part in item for what in _held(part)]


def _causes(item: Any) -> dict[str, str]:
    """Why data in substituted arguments was lost, all together."""
    return {name: cause for what in _held(item) if isinstance(what, Lost) for name, cause in what.causes.items()}
