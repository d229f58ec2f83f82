"""Labelled images: where they are, and which output of a network is right for each, as evaluate files and sweep files say it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from accelsim.images import Preprocessing
from accelsim.runfile import ImageList, InputFile, Location, NetworkFile, PresetName, Section


class Photographs(Section):
    """Images without labels: how much is saved is counted, accuracy is not."""

    files: Annotated[tuple[str, ...], Field(min_length=1), ImageList()]
    """Image files, globs, or arrays in archives (photos.npz:dog, stack.npz:images:17)."""


class LabelledFiles(Section):
    """Image files with a table of their labels."""

    table: InputFile
    """The table (.csv), with a header line and a row for each image."""
    folder: Annotated[Path, Location(file=False)] | None = None
    """Where the image files are; the table's own folder if not given."""
    file_column: str = "file"
    """Column with the name of the image file."""
    label_column: str = "class_id"
    """Column with the label."""


class LabelledStack(Section):
    """Images and labels as two arrays of one archive (.npz)."""

    stack: InputFile
    """The archive."""
    images: str = "images"
    """Its array of images, uint8 [N, H, W] or [N, H, W, C]."""
    labels: str = "labels"
    """Its array of labels, whole numbers [N]."""


class Outputs(Section):
    """Which output of the network means which label: a table (.csv) with a header line."""

    table: InputFile
    """The table."""
    label_column: str = "class_id"
    """Column with the label, as the images have it."""
    output_column: str
    """Column with the number of the network's output, from 0."""


def _way(ways: Mapping[type[Section], str]) -> Discriminator:
    """Tell forms of a section apart by the key that only one of them has."""

    def tag(value: Any) -> str | None:
        for form, key in ways.items():
            if isinstance(value, form) or (isinstance(value, Mapping) and key in value):
                return key
        return None

    return Discriminator(
        tag, custom_error_type="no_way", custom_error_message=f"which one? One of these keys is needed: {', '.join(ways.values())}"
    )


Images = Annotated[
    Annotated[Photographs, Tag("files")] | Annotated[LabelledFiles, Tag("table")] | Annotated[LabelledStack, Tag("stack")],
    _way({Photographs: "files", LabelledFiles: "table", LabelledStack: "stack"}),
]


class ImageSet(Section):
    """Images that a network is judged on."""

    images: Images
    """Where the images and their labels are."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Take this many images, the first ones; all if not given."""
    outputs: Outputs | None = None
    """Which output means which label; without it a label is the number of the output, from 0."""
    preprocessing: Annotated[Preprocessing, PresetName()] | None = None
    """Instead of the network's own: name of a preset, or its keys."""

    def seen_by(self, network: NetworkFile) -> NetworkFile:
        """The network with the preprocessing that these images need."""
        return network if self.preprocessing is None else network.model_copy(update={"preprocessing": self.preprocessing})
