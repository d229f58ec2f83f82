"""What can go wrong, and whose it is to mend.

`UserError` and its children are the user's to mend: the command line prints them as they are and exits with code 2.
`EngineError` is a broken invariant in our own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


class AccelsimError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(AccelsimError):
    """Something the user can mend; the text names the place, the fault and the remedy."""


class ConfigError(UserError):
    """A YAML file, a command-line value or a machine that cannot be built.

    `faults`: one text per fault, in the order of their places; the message is all of them.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class TraceError(UserError):
    """A trace file that is damaged, foreign, too old, or lacks what a scheme needs."""


class ModelError(UserError):
    """A network, its weights or its input image."""


class EngineError(AccelsimError):
    """An accounting identity did not hold: a fault in accelsim itself, please report it."""


class RefusalError(ValueError):
    """A value that a frozen model refuses: the fault, and lines that say what to write instead.

    Validators raise it; `faults` adds file, line, column and dotted path. `at`: dotted paths below the refused value where the
    fault may lie; of several, the first that the user has written. `also`: further refusals found at the same time.
    """

    def __init__(self, fault: str, *remedy: str, at: Sequence[str] = (), also: Sequence[RefusalError] = ()) -> None:
        super().__init__(". ".join((fault, *remedy)))
        self.fault = fault
        self.remedy = remedy
        self.at = tuple(at)
        self.also = tuple(also)


def refuse(refusals: Sequence[RefusalError]) -> None:
    """Raise all refusals as one, or do nothing if there are none."""
    if refusals:
        first = refusals[0]
        raise RefusalError(first.fault, *first.remedy, at=first.at, also=refusals[1:])


def choices(allowed: Sequence[object], given: str = "", what: str = "allowed") -> str:
    """Say what is allowed, and guess what was meant: `allowed: rows, cols.  Did you mean 'cols'?`."""
    texts = [str(item) for item in allowed]
    guess = nearest(given, texts) if len(texts) > 1 else ""
    return f"{what}: {', '.join(texts) or 'none'}" + (f".  Did you mean {guess!r}?" if guess else "")


def nearest(given: str, allowed: Sequence[str]) -> str:
    """The allowed text that was probably meant, upper and lower case being one; empty if none is near."""
    by_lower = {text.lower(): text for text in reversed(allowed)}
    near = get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6) if given else []
    return by_lower[near[0]] if near else ""


def quoted(text: str) -> str:
    """Show a value in a message: in quotes, shortened, control characters escaped."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
