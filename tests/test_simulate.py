"""The walk from a trace to a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim import simulate, tracefile
from accelsim.kernels.replay import replay, replay_banked

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("machine", "kernel"), [("edge", replay), ("ddr4", replay_banked)])
def test_the_wait_for_the_machines_own_kernel_is_told_once_it_has_to_be_compiled(
    monkeypatch: pytest.MonkeyPatch, machine: str, kernel: object
) -> None:
    trace = tracefile.load(ROOT / "traces" / "alexnet_dog_statistics.npz")
    accelerator = simulate.load_accelerator(ROOT / "configs" / "accelerator" / f"{machine}.yaml")
    for missing in (replay, replay_banked):
        monkeypatch.setattr(simulate, "is_compiled", lambda asked, missing=missing: asked is not missing)
        told: list[str] = []

        class EnoughError(Exception):
            pass

        def progress(what: str, done: int, total: int, told: list[str] = told, enough: type[Exception] = EnoughError) -> None:
            told.append(what)
            if what.startswith("replay "):
                raise enough

        with pytest.raises(EnoughError):
            simulate.compare(trace, accelerator, [], progress=progress)
        assert told[0].startswith("compile the replay kernel") == (missing is kernel)
