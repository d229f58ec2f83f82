"""Two engines, one model: a schedule on a machine gives a timeline.

`reference` (SimPy processes, one per part) is the meaning, `fast` (one compiled loop) is the speed; their timelines are equal throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelsim.errors import ConfigError, choices

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelsim.engines.machine import Machine
    from accelsim.hardware import Accelerator
    from accelsim.schedule.tables import Schedule
    from accelsim.timeline import Timeline

ENGINES = ("fast", "reference")


def known(engine: str) -> str:
    """The name of an engine. Raises: ConfigError for any other."""
    if engine not in ENGINES:
        raise ConfigError(f"engine: unknown engine {engine!r}\n    {choices(ENGINES, engine)}")
    return engine


def replay(schedule: Schedule, accelerator: Accelerator, engine: str = "fast") -> Timeline:
    """When everything in a schedule happens on an accelerator; the accounting identities have been checked.

    Raises:  ConfigError for an unknown engine or a machine no engine can run; EngineError for a schedule that contradicts itself or
             cannot proceed, and for a broken identity
    """
    from accelsim.engines.check import check
    from accelsim.engines.machine import resolve

    timeline = run(schedule, resolve(accelerator), engine)
    check(schedule, timeline, accelerator)
    return timeline


def loop(accelerator: Accelerator) -> Callable[..., None]:
    """The compiled loop with which `fast` replays on an accelerator, for those who tell that it has yet to be compiled or loaded."""
    from accelsim.hardware.dram import FlatDram
    from accelsim.kernels import replay as loops

    return loops.replay if isinstance(accelerator.dram, FlatDram) else loops.replay_banked


def run(schedule: Schedule, machine: Machine, engine: str = "fast") -> Timeline:
    """As `replay`, on a resolved machine and without the identities.

    Raises:  ConfigError for an unknown engine; EngineError for a schedule that contradicts itself or cannot proceed
    """
    from accelsim.engines.admission import require_finished, require_sound

    known(engine)
    require_sound(schedule, machine)
    if engine == "fast":
        from accelsim.engines import fast

        timeline = fast.run(schedule, machine)
    else:
        from accelsim.engines import reference

        timeline = reference.run(schedule, machine)
    require_finished(schedule, timeline)
    return timeline
