"""What a model does while it runs: each call of PyTorch that reads data of the images, in order, and the module it happens in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from types import TracebackType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakTensorKeyDictionary

Function = Any
"""What PyTorch calls: functions, methods, the getters of properties."""


@dataclass(frozen=True)
class Call:
    """One call: which function, on which values, and the shapes (without the batch) of the tensors it makes.

    Values are numbered as they are made, the images are value 0; so two runs did the same exactly if their calls are equal.
    """

    function: Function
    reads: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]


def tensors(item: object) -> Iterator[torch.Tensor]:
    """All tensors in nested lists, tuples, mappings and dataclasses, in order."""
    if isinstance(item, torch.Tensor):
        yield item
    elif isinstance(item, Mapping):
        for value in item.values():
            yield from tensors(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from tensors(value)
    elif is_dataclass(item) and not isinstance(item, type):
        yield from tensors(vars(item))


def operation_name(function: Function) -> str:
    """Name of a function without its home and without the underscore of in-place variants: `torch.Tensor.relu_` is `relu`."""
    parts = full_name(function).split(".")
    last = parts[-2] if parts[-1] == "__get__" and len(parts) > 1 else parts[-1]
    return last if last.endswith("__") else last.removesuffix("_")


def full_name(function: Function) -> str:
    """Name by which PyTorch's documentation knows a function."""
    return resolve_name(function) or str(getattr(function, "__qualname__", function))


class Places:
    """Where in the model a run is: hooks on every module, which are gone again after `with`.

    `opaque`: paths of modules whose inside is not looked at.
    """

    def __init__(self, model: torch.nn.Module, opaque: frozenset[str]) -> None:
        self._model = model
        self._opaque = opaque
        self._stack: list[tuple[str, bool]] = [("", False)]
        self._handles: list[Any] = []
        self.muted = 0
        self.tape: Tape | None = None

    @property
    def path(self) -> str:
        """Path of the module that runs; empty for the model itself."""
        return self._stack[-1][0]

    @property
    def is_layer(self) -> bool:
        """Whether that module is one of PyTorch's own, so that its path is name enough."""
        return self._stack[-1][1]

    def __enter__(self) -> Places:
        for path, module in self._model.named_modules():
            if path:
                self._watch(path, module)
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def begin(self, tape: Tape | None) -> None:
        """Start or end a run of the whole model."""
        del self._stack[1:]
        self.muted, self.tape = 0, tape

    def _watch(self, path: str, module: torch.nn.Module) -> None:
        own = type(module).__module__.startswith("torch.nn.")
        closed = path in self._opaque
        reads: list[tuple[list[torch.Tensor], tuple[Any, Any]]] = []

        def enter(module: torch.nn.Module, args: Any, kwargs: Any) -> None:
            if self.tape is not None:
                self._stack.append((path, own))
                if closed:
                    read = [] if self.muted else self.tape.reads((args, kwargs))
                    reads.append((read, self.tape.describe(path, read, {})))
                    self.muted += 1

        def leave(module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if self.tape is not None:
                if closed:
                    read, described = reads.pop()
                    made = list(tensors(output))
                    if read and made:
                        # still muted, so that nothing done about the call is taken for a part of the model
                        self.tape.call(path, read, described, made)
                    self.muted -= 1
                del self._stack[-1:]

        self._handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        self._handles.append(module.register_forward_hook(leave, with_kwargs=True, always_call=True))


class Tape(TorchFunctionMode):  # type: ignore[misc, unused-ignore]  # of no type where torch is not installed
    """Sees every call of PyTorch and follows the data of `images` through them. Subclasses say what to do with a call."""

    def __init__(self, places: Places, images: torch.Tensor) -> None:
        super().__init__()
        self.places = places
        self.batch = len(images)
        self.calls: list[Call] = []
        self._numbers = WeakTensorKeyDictionary()
        self._made = 0
        self._number(images)

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        read = [] if self.places.muted else self.reads((args, kwargs))
        if not read:
            return func(*args, **kwargs)
        # what the arguments are must be known before an in-place call changes it
        described = self.describe(func, args, kwargs)
        output = func(*args, **kwargs)
        made = [args[0]] if operation_name(func) == "__setitem__" else list(tensors(output))
        if made:
            self.call(func, read, described, made)
        return output

    def reads(self, arguments: Any) -> list[torch.Tensor]:
        """Those tensors among arguments that hold data of the images."""
        return [tensor for tensor in tensors(arguments) if tensor in self._numbers]

    def call(self, function: Function, read: list[torch.Tensor], described: tuple[Any, Any], made: list[torch.Tensor]) -> None:
        """Note one call and hand it to `saw`; `function` is a path where an opaque module was called."""
        reads = tuple(self._numbers[tensor] for tensor in read)
        call = Call(function, reads, tuple(tuple(tensor.shape[1:]) for tensor in made))
        self.calls.append(call)
        for tensor in made:
            self._number(tensor)
        self.saw(call, read, described, made)

    def describe(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Say of arguments what `saw` will need; before the call happens."""
        return (), {}

    def saw(self, call: Call, read: list[torch.Tensor], described: tuple[Any, Any], made: list[torch.Tensor]) -> None:
        """Do something with a call that has just happened: the last of `calls`."""
        raise NotImplementedError

    def _number(self, tensor: torch.Tensor) -> None:
        self._numbers[tensor] = self._made
        self._made += 1


def substitute(item: Any, known: Callable[[torch.Tensor], Any]) -> Any:
    """Copy nested lists, tuples and mappings with each tensor replaced."""
    if isinstance(item, torch.Tensor):
        return known(item)
    if isinstance(item, Mapping):
        return {key: substitute(value, known) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [substitute(value, known) for value in item]
    return item
