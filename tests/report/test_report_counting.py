"""The paper's own count, against the authors' published logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_samples import golden_trace, trace

from accelsim.report import PaperCount, saved_elements


@pytest.mark.parametrize(
    ("network", "outputs", "saved", "percent"),
    [
        # The log says 30,408: its run adds 1 for each fully connected layer in which it found any zero, which is no channel.
        ("alexnet", 781_736, 30_406, 3.890),
        ("mobilenet", 9_255_048, 696_584, 7.527),
        ("resnet50", 20_086_248, 0, 0.0),
        ("squeezenet", 3_290_128, 9_391, 0.285),
        ("tiny", 3_458_440, 0, 0.0),
        ("vgg16", 15_087_080, 28_371, 0.188),
    ],
)
def test_totals_of_table_4_and_savings_of_the_logs(shared: Path, network: str, outputs: int, saved: int, percent: float) -> None:
    count = PaperCount.of(golden_trace(shared, network))
    assert (count.output_elements, count.saved_elements) == (outputs, saved)
    assert count.percent_of_outputs == pytest.approx(percent, abs=5e-4)


@pytest.mark.parametrize(
    ("network", "layers", "affected", "percent"),
    [("alexnet", 5, 3, 3.775), ("mobilenet", 54, 36, 7.805), ("squeezenet", 26, 5, 0.314), ("vgg16", 13, 5, 0.192)],
)
def test_convolutions_alone_as_in_table_5(shared: Path, network: str, layers: int, affected: int, percent: float) -> None:
    count = PaperCount.of(golden_trace(shared, network))
    assert (count.conv_layers, count.conv_layers_with_zero) == (layers, affected)
    assert count.percent_of_conv == pytest.approx(percent, abs=5e-4)


def test_a_zero_channel_saves_its_height_times_width_once() -> None:
    assert saved_elements(trace()) == (0, 16, 0)
