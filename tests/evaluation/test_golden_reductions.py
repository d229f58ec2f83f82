"""Reductions by epsilon against an independent implementation, element by element."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from accelsim.evaluation import evaluate, evaluatefile

CONFIGS = Path(__file__).parents[2] / "configs"


def test_reductions_are_those_of_an_independent_implementation_to_the_element(shared: Path, tmp_path: Path) -> None:
    """Source: golden/squeezenet_v1.1/summary.csv (torch): cat and dog at six epsilons, effects cascade from layer to layer."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("real networks take hours without compiled kernels: unset NUMBA_DISABLE_JIT")
    golden = pd.read_csv(shared / "golden/squeezenet_v1.1/summary.csv")
    asked = evaluatefile.load(
        CONFIGS / "evaluate/squeezenet_photographs.yaml", [f"evaluate.epsilons={sorted(set(golden['eps']))}", "evaluate.limit=2"]
    )
    found = evaluate.evaluate(asked, results=tmp_path / "r", figures=False).images
    found["image"] = found["image"].str.rpartition(":")[2]
    joined = golden.merge(found, left_on=["image", "eps"], right_on=["image", "epsilon"], validate="one_to_one")
    assert len(joined) == len(golden) == 12
    assert joined["conv_saved_elements"].tolist() == joined["pruned_elems"].tolist()
    best = joined["top5"].str.split().str[0].str.split(":")
    assert joined["best"].tolist() == best.str[0].astype(int).tolist()
    assert (joined["best_score"] - best.str[1].astype(float)).abs().max() < 1e-5
