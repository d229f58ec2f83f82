"""Our schemes against vectors that were checked by hand: sizes, codes, what a consumer skips, epsilon, published examples.

A set of vectors is a folder: `tensor_x.json` holds a map, `expected_x.csv` its sizes, `codes_x.json` its codes, `skip_x.json` what layers
that read it skip; `epsilon_x.json` and `published.json` stand alone. Any set in this form will do; x tells sets apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from accelsim.errors import ModelError
from accelsim.validation.result import Compared, Comparison
from accelsim.validation.scheme_papers import epsilon, examples
from accelsim.validation.scheme_sizes import codes, sizes
from accelsim.validation.scheme_skips import skips
from accelsim.validation.scheme_vectors import Tensor, read_json, read_tensor

_OF_A_TENSOR: Mapping[str, Callable[[Path, Tensor], list[Compared]]] = MappingProxyType(
    {
        "expected": sizes,
        "codes": lambda path, tensor: codes(read_json(path), tensor),
        "skip": lambda path, tensor: skips(read_json(path), tensor),
    }
)
_ALONE: Mapping[str, Callable[[Path], list[Compared]]] = MappingProxyType(
    {"epsilon": lambda path: epsilon(read_json(path)), "published": lambda path: examples(read_json(path))}
)
FORMS = "expected_x.csv, codes_x.json, skip_x.json (each with tensor_x.json), epsilon_x.json, published.json"


def validate(table: Path) -> Comparison:
    """Compare one file of vectors, or all of a folder; every number must come out exactly.

    Raises:  `ModelError` for a file that cannot be read or is of no known form
    """
    files = sorted(path for path in table.iterdir() if _kind(path)) if table.is_dir() else [table]
    rows = [row for path in files for row in _rows(path)]
    if not rows:
        raise ModelError(f"{table}: no vectors here\n    allowed: {FORMS}")
    return Comparison(tuple(rows))


def _rows(path: Path) -> list[Compared]:
    kind = _kind(path)
    if not kind or not path.is_file():
        raise ModelError(f"{path}: {'no vectors by its name' if path.is_file() else 'no such file'}\n    allowed: {FORMS}")
    try:
        if kind in _ALONE:
            return _ALONE[kind](path)
        return _OF_A_TENSOR[kind](path, read_tensor(path.with_name(f"tensor_{path.stem.partition('_')[2]}.json")))
    except (ArithmeticError, LookupError, TypeError, ValueError) as fault:
        # Hand-written files may hold anything anywhere; what is not asked for by name shows up here.
        raise ModelError(f"{path}: not in the form of these vectors: {' '.join(str(fault).split())}") from fault


def _kind(path: Path) -> str:
    """What a file is by its name, empty for none."""
    kind = path.stem.partition("_")[0]
    suffix = ".csv" if kind == "expected" else ".json"
    return kind if path.suffix == suffix and kind in {**_OF_A_TENSOR, **_ALONE} else ""
