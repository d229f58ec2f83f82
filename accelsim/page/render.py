"""A page as parts in order, and the one template that turns them into HTML."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from accelsim.page.tables import Table

NAME = "report.html"
"""File name of the page in its results folder."""
PARTS = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """A figure: what it shows, and its PNG file."""

    caption: str
    png: bytes

    @property
    def source(self) -> str:
        """The picture as a `data:` address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """One part of a page; its paragraphs, table, pictures and text are shown in that order where there are any.

    `text`: shown as it is (YAML, commands). `folded`: shut until the reader opens it. `inner`: sections within this one.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    text: str = ""
    folded: bool = False
    inner: Sequence[Section] = field(default=())


@dataclass(frozen=True)
class Page:
    """A whole page: its title, one line below it, and its sections in order."""

    title: str
    subtitle: str
    sections: Sequence[Section]

    def html(self) -> bytes:
        """The page as one HTML file: the same bytes whenever the parts are the same."""
        style, script = (Markup((PARTS / name).read_text("utf-8")) for name in ("page.css", "page.js"))
        return _template().render(page=self, style=style, script=script).encode()


@cache
def _template() -> Template:
    # Names of networks, images and files come from users: everything is escaped.
    environment = Environment(
        loader=FileSystemLoader(PARTS), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")
