"""Random networks: every tensor that our network still has equals ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from onnx_oracle import pairs
from onnx_strategies import models


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random") / "random.onnx"


@given(models())
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_tensor_of_a_random_network_is_that_of_onnx_runtime(place: Path, case: tuple[onnx.ModelProto, np.ndarray]) -> None:
    model, image = case
    place.write_bytes(model.SerializeToString())
    for pair in pairs(place, image):
        largest = np.abs(pair.theirs).max(initial=1.0)
        np.testing.assert_allclose(pair.ours, pair.theirs, rtol=1e-4, atol=1e-5 * largest, err_msg=f"{pair.name} ({pair.node})")
