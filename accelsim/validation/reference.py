"""Reference tensors in an `.npz` archive, opened without trust."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError


@dataclass(frozen=True, eq=False)
class Tensors:
    """Arrays named `<image>/<what>`; an archive that was not given holds none."""

    path: Path | None
    archive: zipfile.ZipFile | None

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Open an archive. Raises `ModelError` where there is none or it is no `.npz`."""
        if path is None:
            return cls(None, None)
        try:
            return cls(path, zipfile.ZipFile(path))
        except (OSError, zipfile.BadZipFile) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else "not an .npz archive"
            raise ModelError(f"{path}: cannot be read: {reason or fault}") from fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if self.archive is not None:
            self.archive.close()

    def find(self, image: str, what: str, size: int) -> NDArray[np.float64] | None:
        """Find one array, flat; None where the archive has none of that name.

        Raises:  `ModelError` where it is not `size` finite numbers; its header is read first, so a huge one is never allocated
        """
        if self.archive is None or f"{image}/{what}.npy" not in self.archive.namelist():
            return None
        name = f"{image}/{what}"
        try:
            with self.archive.open(f"{name}.npy") as member:
                version = np.lib.format.read_magic(member)
                header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = header(member)
            if dtype.kind not in "iuf" or int(np.prod(shape, dtype=object)) != size:
                raise ModelError(f"{self.path}: {name} is {dtype} {list(shape)}; {size:,} numbers are needed")
            with self.archive.open(f"{name}.npy") as member:
                values = np.lib.format.read_array(member, allow_pickle=False)
        except ModelError:
            raise
        except Exception as fault:  # zipfile, zlib and numpy raise many kinds on damaged archives
            raise ModelError(f"{self.path}: {name} is damaged: {' '.join(str(fault).split())}") from fault
        flat: NDArray[np.float64] = values.reshape(-1).astype(np.float64)
        if not np.isfinite(flat).all():
            raise ModelError(f"{self.path}: {name} holds numbers that are not finite")
        return flat
