"""What can go wrong, and whose it is to mend.

`UserError` and its children are the user's to mend: the command line prints them as they are and exits with code 2.
`EngineError` is a broken invariant in our own code.
"""

from __future__ import annotations


class AccelsimError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(AccelsimError):
    """Something the user can mend; the text names the place, the fault and the remedy."""


class ConfigError(UserError):
    """A YAML file, a command-line value or a machine that cannot be built."""


class TraceError(UserError):
    """A trace file that is damaged, foreign, too old, or lacks what a scheme needs."""


class ModelError(UserError):
    """A network, its weights or its input image."""


class EngineError(AccelsimError):
    """An accounting identity did not hold: a fault in accelsim itself, please report it."""
