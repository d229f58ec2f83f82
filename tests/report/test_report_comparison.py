"""Replays side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_samples import accelerator, comparison, dense, marker

from accelsim.errors import ConfigError
from accelsim.report import Comparison
from accelsim.report.slowdown import Slowdown


def test_dense_comes_first_whatever_the_order() -> None:
    assert Comparison.of([marker(), dense()]).schemes == ("dense", "channel_marker")


def test_ratios_are_scheme_over_dense() -> None:
    both = comparison()
    ratios = both.ratios("channel_marker")
    assert ratios["bytes_wanted"] == pytest.approx((537 + 317) / (568 + 416))
    assert ratios["bytes_moved"] == pytest.approx(1152 / 1152)
    assert ratios["total_cycles"] == 1.0
    assert ratios["macs_done"] == pytest.approx(1944 / 2016)
    assert set(both.ratios("dense").values()) == {1.0}


def test_speed_up_is_the_inverse_of_the_cycle_ratio() -> None:
    ratios = comparison(later=5).ratios("channel_marker")
    assert ratios["speed_up"] == pytest.approx(95 / 100)
    assert ratios["total_cycles"] == pytest.approx(100 / 95)
    assert ratios["stall_cycles"] == pytest.approx(40 / 35)


def test_layers_slower_than_dense_are_named_with_their_loss() -> None:
    assert comparison(later=5).slower_layers("channel_marker") == {"conv2": 5}
    assert comparison().slower_layers("channel_marker") == {}


def test_a_slower_layer_says_what_it_waits_for_and_what_there_is_more_of() -> None:
    (slow,) = comparison(later=5).slowdowns("channel_marker")
    # Of 5 cycles more all are spent waiting for the ifmap: it comes in two descriptors rather than one, and there are markers to load.
    assert (slow.layer, slow.cycles, slow.cause, slow.cause_cycles) == ("conv2", 5, "stall_ifmap_cycles", 5)
    assert (slow.descriptors, slow.setup_cycles, slow.metadata_bytes, slow.bytes_moved) == (2, 4, 1, -64)
    assert slow.why == "+5 waiting for its ifmap; 2 more descriptors, 4 cycles of set-up, 1 bytes of metadata"


def test_without_prefetch_each_further_descriptor_costs_a_set_up() -> None:
    serial = accelerator().dma.model_copy(update={"outstanding_descriptors": 1})
    base, other = (result.layers[1] for result in comparison(later=5).results)
    assert Slowdown.of(base, other, serial).setup_cycles == 2 * 38
    assert Slowdown.of(base, base, serial) is None


def test_a_layer_may_wait_without_any_more_traffic() -> None:
    base = dense().layers[0]
    later = replace(base, total_cycles=base.total_cycles + 3, stall_start_cycles=base.stall_start_cycles + 3)
    slow = Slowdown.of(base, later, accelerator().dma)
    assert str(slow) == "conv1 (+3 cycles: +3 waiting for the layers before it; no more traffic, but in another order)"


def test_the_layer_that_loses_most_comes_first() -> None:
    both = comparison(later=5)
    first = both.baseline.layers[0]
    worse = replace(both.results[1].layers[0], total_cycles=first.total_cycles + 9)
    results = [both.baseline, replace(both.results[1], layers=(worse, both.results[1].layers[1]))]
    assert [slow.layer for slow in Comparison.of(results).slowdowns("channel_marker")] == ["conv1", "conv2"]


def test_a_ratio_to_nothing_is_unknown() -> None:
    idle = replace(dense(), layers=tuple(replace(row, macs_done=0, bytes_moved=0) for row in dense().layers))
    both = Comparison.of([idle, marker()])
    assert both.ratios("channel_marker")["bytes_moved"] is None
    assert np.isnan(both.totals()["bytes_moved_ratio"][1])
    assert "x   -  " in repr(both)


def test_frames_hold_every_layer_of_every_scheme() -> None:
    both = comparison()
    assert list(both.as_frame()["scheme"]) == ["dense", "dense", "channel_marker", "channel_marker"]
    totals = both.totals().set_index("scheme")
    assert totals.loc["channel_marker", "macs_skipped"] == 72
    assert totals.loc["dense", "total_cycles_ratio"] == 1.0
    assert totals.loc["channel_marker", "slower_layers"] == 0


def test_side_by_side_has_both_values_and_their_ratio() -> None:
    frame = comparison(later=5).side_by_side("channel_marker").set_index("layer")
    row = frame.loc["conv2"]
    assert (row["total_cycles dense"], row["total_cycles channel_marker"]) == (49, 54)
    assert row["total_cycles ratio"] == pytest.approx(54 / 49)
    assert (row["stall_cycles dense"], row["stall_cycles channel_marker"]) == (19, 24)


def test_side_by_side_with_itself_has_no_ratio() -> None:
    assert not [name for name in Comparison.of([dense()]).side_by_side("dense") if name.endswith("ratio")]


def test_notes_are_repeated_once_each() -> None:
    assert comparison().notes == ("made by hand", "marker bits in raster order")


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (lambda: marker(image="cat"), "different traces cannot be compared: image 'checks' (dense) and 'cat' (channel_marker)"),
        (lambda: marker(name="vgg"), "network 'two_layers' (dense) and 'vgg' (channel_marker)"),
        (lambda: replace(marker(), accelerator=accelerator("other")), "different machines cannot be compared: 'bench'"),
        (lambda: replace(marker(), layers=marker().layers[:1]), "dense and channel_marker have different layers"),
        (dense, "scheme 'dense' is there 2 times"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(other, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as error:
        Comparison.of([dense(), other()])
    assert text in str(error.value)
    assert "\n    " in str(error.value)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one result"):
        Comparison.of([])


def test_an_unknown_scheme_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="allowed: dense, channel_marker"):
        comparison().result("zvc")


def test_representations_name_source_machine_and_schemes() -> None:
    both = comparison("published statistics")
    for text in (repr(both), both._repr_html_()):
        assert "published statistics" in text
        assert "bench" in text
        assert "channel_marker" in text
