"""Pieces that the pages of runs and sweeps share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from accelsim.page.render import Picture, Section

VERBS = {
    "run": "accelsim run config.yaml --results again",
    "sweep": "accelsim sweep config.yaml --results again",
    "accelerator": "accelsim replay TRACE.npz --accelerator config.yaml --scheme SCHEME --results again",
}
"""Root key of `config.yaml` -> the command that makes the folder once more."""


def change(ratio: float | None) -> str:
    """A ratio to the baseline as a signed change: 0.97 is '-3.00 %'."""
    return "none in either" if ratio is None else f"{100 * (ratio - 1):+.2f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def pictures(contents: Mapping[str, bytes], prefix: str = "") -> Iterator[Picture]:
    """The PNG figures whose names begin with a prefix, in order of their names."""
    for name in sorted(contents):
        found = re.fullmatch(r"figures/(.+)\.png", name)
        if found and (not prefix or found[1] == prefix or found[1].startswith(prefix + "_")):
            yield Picture(found[1].removeprefix(prefix).strip("_").replace("_", " ") or found[1], contents[name])


def asked(config: str, version: str) -> list[Section]:
    """What was asked for, machine and all, and how to do it again."""
    root = re.search(r"^(\w+):", config, re.MULTILINE)
    command = VERBS.get(root[1] if root else "", "")
    made = f"This page was made by accelsim {version} from the files beside it."
    return [
        Section("What was asked", ["The resolved configuration, every default written out (config.yaml):"], text=config, folded=True),
        Section("How to reproduce it", [f"{made} To make all of it again, in this folder:" if command else made], text=command),
    ]
