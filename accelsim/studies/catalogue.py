"""What every scheme is: what it saves, whether it is lossless, what of the data it must know, how units are found, its options."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pandas as pd

from accelsim import schemes
from accelsim.errors import ConfigError, choices
from accelsim.schemes._chosen import member
from accelsim.schemes.base import Saves

if TYPE_CHECKING:
    from accelsim.report.terminal import Fitted

SAVED = tuple(field.name for field in fields(Saves) if field.name != "needs_training")
_LOSSLESS = {True: "yes", False: "no"}


def rows() -> pd.DataFrame:
    """One row a scheme, dense first: name, first line of its text, `lossless`, `needs`, a column for each thing saved, units, codec."""
    found = []
    for name in sorted(schemes.names(), key=lambda name: name != "dense"):
        module, scheme = member(name), schemes.load(name)
        layouts = _allowed(name, "layout")
        found.append(
            {
                "scheme": name,
                "what": first_line(name),
                # A scheme that can clear values says what consumers then see.
                "lossless": "at threshold 0" if hasattr(module, "seen") else _LOSSLESS[not scheme.lossy],
                "needs": {"counts": "zero channels", "masks": "zero elements", "values": "values"}[scheme.needs],
                **{saved: getattr(scheme.saves, saved) for saved in SAVED},
                "oracle": scheme.saves.needs_training,
                "units": ", ".join(layouts) if layouts else "raster",
                "codec": str(getattr(module, "CODEC", "")),
            }
        )
    return pd.DataFrame(found)


def options(name: str) -> pd.DataFrame:
    """One row an option of a scheme: its name, default, what it may be, what it means. Raises `ConfigError` for an unknown scheme."""
    if name not in schemes.names():
        raise ConfigError(f"unknown scheme {name!r}\n    {choices(schemes.names(), name)}")
    found = []
    for option, field in member(name).Options.model_fields.items():
        default = "the array's" if field.default is None else str(field.default).lower()
        found.append(
            {"option": option, "default": default, "allowed": ", ".join(_allowed(name, option)), "meaning": field.description or ""}
        )
    return pd.DataFrame(found, columns=["option", "default", "allowed", "meaning"])


def first_line(name: str) -> str:
    """What a scheme is, in one line."""
    return str(member(name).__doc__).strip().partition("\n")[0].partition(": ")[2]


def text(name: str) -> str:
    """All that a scheme's file says of it, and what is published of its encoder and decoder."""
    codec = getattr(member(name), "CODEC", "")
    return str(member(name).__doc__).strip() + (f"\nCodec:   {codec}" if codec else "")


def terminal_table() -> Fitted:
    """All schemes, for people."""
    from accelsim.report.terminal import Column, Fitted

    table = rows()
    words = {"macs": "MACs", "energy": "gates"}
    return Fitted(
        "Schemes: what each saves",
        (
            Column(("scheme",), tuple(table["scheme"]), is_text=True),
            *(Column((words.get(saved, saved),), tuple("yes" if one else "-" for one in table[saved]), is_text=True) for saved in SAVED),
            Column(("lossless",), tuple(table["lossless"]), is_text=True, rank=1),
            Column(("must know",), tuple(table["needs"]), is_text=True, rank=2),
            Column(("units lie",), tuple(table["units"]), is_text=True, rank=3),
            Column(("published codec",), tuple(table["codec"]), is_text=True, rank=4),
        ),
        "gates: the array knows zeros and may hold still for them: energy, no cycles, and counted nowhere. "
        f"Known before the run, as if trained: {', '.join(table['scheme'][table['oracle']])}. `accelsim schemes NAME`: its options.",
    )


def options_table(name: str) -> Fitted:
    """The options of a scheme, for people."""
    from accelsim.report.terminal import Column, Fitted

    table = options(name)
    columns = tuple(Column((column,), tuple(table[column]), is_text=True, rank=int(column == "allowed")) for column in table.columns)
    return Fitted(f"Options of {name}: write {name}:OPTION=VALUE,...", columns)


def _allowed(name: str, option: str) -> list[str]:
    """Values of an option that has a few of them."""
    properties = member(name).Options.model_json_schema().get("properties", {})
    return [str(value).lower() for value in properties.get(option, {}).get("enum", [])]
