"""What decoders and encoders have to do: nothing unless a scheme says how fast they are, then every byte before encoding once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accelsim import schemes
from accelsim.engines import ENGINES, replay
from accelsim.hardware import load_accelerator
from accelsim.schedule import build
from accelsim.schedule.codecs import before_encoding
from accelsim.schedule.memory import MapRegion
from accelsim.schedule.tables import IFMAP, METADATA, OFMAP, READ, WRITE, Schedule
from accelsim.tracefile import load

ROOT = Path(__file__).parents[2]
EDGE = load_accelerator(ROOT / "configs" / "accelerator" / "edge.yaml")
SQUEEZENET = load(ROOT / "traces" / "squeezenet_v1.1_dog.npz")


def squeezenet(scheme: str, *overrides: str) -> Schedule:
    return build(SQUEEZENET, load_accelerator(ROOT / "configs" / "accelerator" / "edge.yaml", overrides), scheme)


@pytest.mark.parametrize("scheme", ["dense", "channel_marker", "zvc", "rlc:rate=0,latency=0"])
def test_a_scheme_that_names_no_rate_has_no_codec(scheme: str) -> None:
    assert squeezenet(scheme).codecs is None


def test_every_byte_of_a_map_that_is_stored_is_encoded_once() -> None:
    schedule = squeezenet("zvc:rate=1,fallback=false")
    transfers, codecs = schedule.transfers, schedule.codecs
    assert codecs is not None
    layer = schedule.names.index("003_convolutional")
    mine = (transfers.layer == layer) & (transfers.tensor == OFMAP) & (transfers.direction == WRITE)
    node = next(node for node in SQUEEZENET.graph.nodes if node.name == "003_convolutional")
    encoded = schemes.load("zvc:rate=1,fallback=false").encode(SQUEEZENET, node.index, EDGE)
    raw = before_encoding(MapRegion(0, node.shape, 16, encoded))
    # each transfer is rounded up; units without a value never pass
    assert raw <= codecs.cycles[mine].sum() < raw + mine.sum()
    assert raw <= node.elements * 2


def test_twice_the_rate_takes_half_the_cycles_and_the_latency_is_for_all() -> None:
    slow, quick = (squeezenet(f"zvc:rate={rate},latency=6").codecs for rate in (4, 8))
    assert slow is not None
    assert quick is not None
    assert (abs(slow.cycles - 2 * quick.cycles) <= 1).all()
    assert slow.cycles.any()
    assert set(quick.latency.tolist()) == {0, 6}


def test_neither_filters_nor_markers_nor_partial_sums_are_coded() -> None:
    schedule = squeezenet("zvc:rate=4", "buffer.size=32 KiB")
    transfers, codecs = schedule.transfers, schedule.codecs
    assert codecs is not None
    coded = codecs.cycles > 0
    plain = (transfers.tensor == METADATA) | ((transfers.tensor != IFMAP) & (transfers.direction == READ))
    assert not coded[plain].any()
    sums = np.unique(transfers.wait_transfer[(transfers.tensor == OFMAP) & (transfers.direction == READ)])
    assert not coded[sums[sums >= 0]].any()


def test_a_slow_codec_makes_a_run_longer_and_one_beyond_the_link_hardly() -> None:
    ends = [replay(squeezenet(scheme), EDGE).end for scheme in ("zvc", "zvc:rate=4096", "zvc:rate=8", "zvc:rate=2")]
    assert ends[0] <= ends[1] < 1.001 * ends[0]
    assert ends[1] < ends[2] < ends[3]


def test_engines_agree_on_a_coded_network() -> None:
    accelerator = load_accelerator(ROOT / "configs" / "accelerator" / "paper.yaml")
    schedule = build(load(ROOT / "traces" / "tiny_dog.npz"), accelerator, "zvc:rate=8,latency=4,fallback=false")
    fast, reference = (replay(schedule, accelerator, engine) for engine in ENGINES)
    assert fast.differences(reference) == []
