"""Where a sweep keeps what was simulated: one SQLite file, a row a point, under a hash of all that decides it.

One process holds the store at a time, and only it writes; killed, it leaves every row that was added whole.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType

from accelsim.errors import ConfigError

FILE = "points.sqlite"
Number = int | float | str | None


@dataclass(frozen=True)
class Kept:
    """One point: what it gave, or why it failed (then `values` is empty). Units: `seconds` that it took."""

    values: Mapping[str, Number]
    error: str
    seconds: float


class Store:
    """The points of a results folder; a context manager.

    Raises:  `ConfigError` where another sweep holds the folder, or the file cannot be used
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        except (OSError, sqlite3.Error) as fault:
            raise self._unusable(fault) from fault
        try:
            # Exclusive locking keeps the file to this process until it ends, however it ends; the log makes an added row cheap.
            for statement in (
                "PRAGMA locking_mode = EXCLUSIVE",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = NORMAL",
                "BEGIN EXCLUSIVE",
                "CREATE TABLE IF NOT EXISTS points (key TEXT PRIMARY KEY, row TEXT NOT NULL, error TEXT NOT NULL, seconds REAL NOT NULL)",
                "COMMIT",
            ):
                self._connection.execute(statement)
        except sqlite3.Error as fault:
            self._connection.close()
            raise self._unusable(fault) from fault

    def __repr__(self) -> str:
        return f"Store({self.path})"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the folder go; rows of an unfinished addition are dropped."""
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._connection.close()

    def read(self, keys: Iterable[str]) -> dict[str, Kept]:
        """The points among these that are here; rows that cannot be read are left out, so that they are made again."""
        wanted = iter(dict.fromkeys(keys))
        found: dict[str, Kept] = {}
        try:
            while some := list(islice(wanted, 500)):
                asked = f"SELECT key, row, error, seconds FROM points WHERE key IN ({','.join('?' * len(some))})"
                for key, row, error, seconds in self._connection.execute(asked, some):
                    with suppress(ValueError):
                        found[key] = Kept(json.loads(row), error, seconds)
        except sqlite3.Error as fault:
            raise self._unusable(fault) from fault
        return found

    def add(self, points: Mapping[str, Kept]) -> None:
        """Keep points, all of them or none; one that is here already is replaced."""
        rows = [(key, json.dumps(point.values, sort_keys=True), point.error, point.seconds) for key, point in points.items()]
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as fault:
            raise self._unusable(fault) from fault

    def _unusable(self, fault: Exception) -> ConfigError:
        if isinstance(fault, sqlite3.OperationalError) and "locked" in str(fault):
            return ConfigError(f"{self.path.parent}: another sweep is at work in this folder\n    wait for it, or name another: --results")
        return ConfigError(f"{self.path}: cannot be used: {fault}\n    move it away, or name another folder: --results")
