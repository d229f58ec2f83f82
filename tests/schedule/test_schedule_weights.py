"""Schedules under weight schemes: what is loaded, what is left to do, and what both must keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schedule_samples import accelerator, accelerators, addresses, by_tensor, conv, graph, graphs, searched, structure, trace
from weights_samples import LABELS as WEIGHTS

from accelsim import engines, layers
from accelsim.errors import ConfigError, ModelError, TraceError
from accelsim.graph import Graph
from accelsim.hardware import Data
from accelsim.networks.beside import beside, filters
from accelsim.networks.network import Network
from accelsim.schedule import build
from accelsim.schedule.tables import FILTER, METADATA, READ
from accelsim.trace import Trace
from accelsim.weights import load

ENGINES = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
SCHEMES = (
    "dense",
    "channel_marker",
    "part_marker",
    "part_marker:layout=packed",
    "zvc",
    "rlc",
    "csr:layout=packed",
    "zero_block",
    "zvc+eie",
    "channel_marker+pruned_csr",
)
ACTIVATIONS = st.sampled_from(["dense", "channel_marker", "part_marker", "zvc"])


def network(net: Graph, seed: int = 0, zeros: float = 0.7, dead: float = 0.2) -> Network:
    """Weights of which about so many are zero, whole filters and channels among them."""
    rng = np.random.default_rng(seed)
    weights: dict[int, dict[str, np.ndarray]] = {}
    for node in net.nodes:
        roles = layers.layer(node.kind).weight_shapes(node, net.input_shapes(node.index))
        if "weight" in roles:
            shape = roles["weight"]
            live = rng.random(shape) >= zeros
            live &= (rng.random(shape[0]) >= dead).reshape(-1, *(1,) * (len(shape) - 1))
            weight = np.where(live, rng.integers(1, 100, shape), 0).astype(np.float32)
            weights[node.index] = {
                "weight": weight,
                **{role: np.zeros(size, np.float32) for role, size in roles.items() if role != "weight"},
            }
    return Network(net, weights, {})


def weighted(net: Graph, seed: int = 0, values=None, **shares: float) -> Trace:
    return beside(trace(net, values, seed=seed), network(net, seed, **shares))


def compiled(data, machine, scheme):
    try:
        return build(data, machine, scheme)
    except ConfigError:
        assume(False)


def filter_bytes(schedule) -> int:
    return by_tensor(schedule, "bytes_wanted", FILTER, READ)


def column(schedule, name: str) -> np.ndarray:
    return getattr(schedule.tiles, name)


@given(graphs(), accelerators(), ACTIVATIONS, st.sampled_from(WEIGHTS), st.integers(0, 99))
@ENGINES
def test_a_weight_scheme_changes_no_tile_and_both_engines_agree(net, machine, activations, weights, seed):
    data = weighted(net, seed)
    with searched():
        schedule, plain = (compiled(data, machine, scheme) for scheme in (f"{activations}+{weights}", activations))
    assert structure(schedule) == structure(plain)
    dense = [made.transfers.bytes_dense[made.transfers.tensor != METADATA].tolist() for made in (schedule, plain)]
    assert dense[0] == dense[1], "flags of columns are metadata, which has no dense bytes"
    assert (column(schedule, "macs_done") <= column(plain, "macs_done")).all()
    assert (
        column(schedule, "macs_done") + column(schedule, "macs_skipped") == column(plain, "macs_done") + column(plain, "macs_skipped")
    ).all()
    assert (column(schedule, "busy_cycles") <= column(plain, "busy_cycles")).all()
    # each engine checks every identity, no block over-filled among them
    fast, reference = (engines.replay(schedule, machine, engine) for engine in ("fast", "reference"))
    assert fast.differences(reference) == []


@given(graphs(), accelerators(), st.sampled_from(WEIGHTS), st.integers(0, 99))
@FEW
def test_loading_everything_once_moves_what_is_stored(net, machine, weights, seed):
    """No marker, no zero element: a piece that is loaded is loaded whole."""
    values = [np.ones(node.shape) for node in net.nodes]
    data, scheme = weighted(net, seed, values), load(weights)
    schedule = compiled(data, machine, f"dense+{weights}")
    wanted = schedule.transfers.bytes_wanted[schedule.transfers.tensor == FILTER]
    assert (wanted <= schedule.transfers.bytes_dense[schedule.transfers.tensor == FILTER]).all()
    for number in np.flatnonzero(schedule.transfers.tensor == FILTER):
        assert schedule.transfers.bytes_wanted[number] <= addresses(schedule, number).size
        assert np.unique(addresses(schedule, number)).size == addresses(schedule, number).size
    if scheme.options.fallback:
        assert wanted.sum() <= filter_bytes(compiled(data, machine, "dense"))


@given(graphs(), accelerators(), ACTIVATIONS, st.sampled_from(WEIGHTS), st.integers(0, 99))
@FEW
def test_weights_without_zeros_cost_what_dense_weights_cost(net, machine, activations, weights, seed):
    assume("fallback=false" not in weights)
    data = weighted(net, seed, zeros=0.0, dead=0.0)
    with searched():
        schedule, plain = (compiled(data, machine, scheme) for scheme in (f"{activations}+{weights}", activations))
    for name in ("bytes_wanted", "descriptor_low", "descriptor_high"):
        assert (getattr(schedule.transfers, name) == getattr(plain.transfers, name)).all()
    assert (column(schedule, "macs_done") == column(plain, "macs_done")).all()


class TestSkippedSlices:
    net = graph((8, 6, 6), conv(8), conv(6, 3))

    def data(self) -> Trace:
        values = np.ones((8, 6, 6))
        values[:5] = 0
        return weighted(self.net, values=[None, values])

    @pytest.mark.parametrize(
        ("weights", "alone"), [("pruned_csr", True), ("eie:columns=all", True), ("filter_pruned", True), ("eie", False)]
    )
    def test_those_of_zero_channels_are_left_out_where_the_format_can(self, weights, alone):
        machine = accelerator()
        with searched():
            marked, plain = (filter_bytes(build(self.data(), machine, f"{scheme}+{weights}")) for scheme in ("channel_marker", "dense"))
        assert (marked < plain) == alone

    def test_eie_of_a_convolution_still_leaves_out_a_piece_of_zero_channels_alone(self):
        machine = accelerator(size=1024)
        data = self.data()
        values = np.zeros((8, 6, 6))
        none = replace(data, maps=(*data.maps[:1], replace_map(values), *data.maps[2:]))
        assert filter_bytes(build(none, machine, "channel_marker+eie")) < filter_bytes(build(data, machine, "channel_marker+eie"))

    def test_a_transfer_that_leaves_slices_out_waits_for_the_producer_and_one_that_does_not_goes_ahead(self):
        marked, plain = (build(self.data(), accelerator(), f"{scheme}+pruned_csr") for scheme in ("channel_marker", "dense"))
        for schedule, waits in ((marked, True), (plain, False)):
            second = (schedule.transfers.tensor == FILTER) & (schedule.transfers.layer == 1)
            assert ((schedule.transfers.wait_layer[second] >= 0) == waits).all()


def replace_map(values: np.ndarray):
    from accelsim.trace import measure

    return measure(values.astype(np.float32), (4, 4))


class TestFullyConnected:
    net = graph((4, 3, 3), conv(4), {"kind": "fc", "filters": 10})

    def data(self, share: float, **shares: float) -> Trace:
        values = (np.random.default_rng(1).random((4, 3, 3)) < share).astype(np.float32)
        return weighted(self.net, values=[None, values], **shares)

    @pytest.mark.parametrize("activations", ["dense", "channel_marker", "bitmap"])
    def test_only_weights_that_are_not_zero_meet_elements_that_are_not(self, activations):
        data = self.data(0.4)
        schedule = build(data, accelerator(), f"{activations}+eie")
        weight, element = data.filters[2] != 0, data.maps[1].nonzero().ravel()
        of_layer = schedule.tiles.layer == 1
        assert schedule.tiles.macs_done[of_layer].sum() == (weight & element).sum()
        assert schedule.tiles.macs_skipped[of_layer].sum() == weight.size - (weight & element).sum()

    def test_columns_of_zero_elements_are_not_loaded(self):
        loads = [filter_bytes(build(self.data(share), accelerator(), "dense+eie")) for share in (1.0, 0.5, 0.2)]
        assert loads == sorted(loads, reverse=True)
        assert loads[0] > loads[1] > loads[2]

    def test_the_flags_of_the_elements_are_markers_and_count_where_they_do_not_fit(self):
        fits, spilled = (build(self.data(0.5), accelerator(marker_bytes=size), "dense+eie") for size in (4096, 1))
        assert by_tensor(fits, "bytes_wanted", METADATA, READ) == 0
        assert by_tensor(spilled, "bytes_wanted", METADATA, READ) == -(-36 // 8)

    def test_cycles_shrink_as_multiply_accumulates_do(self):
        plain, sparse = (build(self.data(1.0), accelerator(), f"dense{weights}") for weights in ("", "+eie"))
        mine = plain.tiles.layer == 1
        share = sparse.tiles.macs_done[mine] / plain.tiles.macs_done[mine]
        assert (sparse.tiles.busy_cycles[mine] == np.ceil(plain.tiles.busy_cycles[mine] * share)).all()

    def test_the_image_itself_has_no_flags_so_its_columns_are_loaded(self):
        net = graph((4, 3, 3), {"kind": "fc", "filters": 10})
        values = np.zeros((4, 3, 3))
        loads = filter_bytes(build(weighted(net, values=[values]), accelerator(), "dense+eie"))
        full = filter_bytes(build(weighted(net, values=[np.ones((4, 3, 3))]), accelerator(), "dense+eie"))
        assert loads == full > 0

    def test_a_batch_loads_what_any_image_needs_and_works_on_what_each_has(self):
        from accelsim import batch

        one = self.data(0.3)
        other = replace(one, maps=(one.maps[0], replace_map(np.roll(one.maps[1].nonzero(), 1, axis=2)), *one.maps[2:]), image="other")
        both = batch.stack([one, other])
        schedule = build(both, accelerator(), "dense+eie")
        weight = one.filters[2] != 0
        wanted = sum(int((weight & each.maps[1].nonzero().ravel()).sum()) for each in (one, other))
        assert schedule.tiles.macs_done[schedule.tiles.layer == 1].sum() == wanted


class TestFilterPruned:
    def test_filters_that_are_zero_cost_nothing(self):
        net = graph((4, 8, 8), conv(8, 3))
        data = weighted(net, zeros=0.0, dead=0.0)
        data.filters[1][[1, 4, 5]] = 0
        plain, pruned = (build(data, accelerator(), f"dense{weights}") for weights in ("", "+filter_pruned"))
        assert pruned.tiles.macs_done.sum() * 8 == plain.tiles.macs_done.sum() * 5
        assert pruned.tiles.busy_cycles.sum() * 8 == plain.tiles.busy_cycles.sum() * 5
        assert filter_bytes(pruned) == filter_bytes(plain) * 5 // 8 + 1  # a flag for each of 8 filters

    @given(accelerators(), st.integers(0, 99))
    @FEW
    def test_depthwise_filters_too(self, machine, seed):
        net = graph((6, 8, 8), conv(6, 3, groups=6))
        data = weighted(net, seed, zeros=0.0, dead=0.5)
        pruned = compiled(data, machine, "dense+filter_pruned")
        alive = int((data.filters[1] != 0).any(axis=(1, 2, 3)).sum())
        assert pruned.tiles.macs_done.sum() == alive * 9 * 64

    @given(accelerators(), st.integers(0, 99))
    @FEW
    def test_and_those_of_groups(self, machine, seed):
        net = graph((4, 6, 6), conv(6, 3, groups=2))
        data = weighted(net, seed, zeros=0.0, dead=0.5)
        pruned = compiled(data, machine, "dense+filter_pruned")
        alive = int((data.filters[1] != 0).any(axis=(1, 2, 3)).sum())
        assert pruned.tiles.macs_done.sum() == alive * 2 * 9 * 36


def test_a_codebook_is_read_once_a_layer_as_metadata():
    net = graph((8, 6, 6), conv(16, 3), conv(16, 3))
    data = weighted(net)
    schedule = build(data, accelerator(), "dense+eie:codebook_bits=8")
    assert by_tensor(schedule, "bytes_wanted", METADATA, READ) == 2 * 256 * 2


def test_weights_that_are_not_at_hand_are_asked_for():
    with pytest.raises(TraceError) as caught:
        build(trace(graph((2, 4, 4), conv(2))), accelerator(), "dense+eie")
    assert str(caught.value) == (
        "scheme 'dense+eie' needs the weights of small; a trace holds none, and no network is named beside it\n"
        "    name it: {trace: ..., network: ...} in a run file, --network on the command line"
    )


def test_what_lies_dense_after_all_is_told():
    net = graph((8, 6, 6), conv(8, 3), conv(8, 3))
    data = weighted(net, zeros=0.9)
    data.filters[1][:] = 1
    notes = build(data, accelerator(), "dense+eie").notes
    assert notes == ("eie: the weights of 1 of 2 layers lie dense, their code would not be smaller",)


class TestWeightsBesideATrace:
    net = graph((2, 4, 4), conv(3))

    def test_they_are_those_of_the_network(self):
        given_weights = network(self.net)
        assert beside(trace(self.net), given_weights).filters == filters(given_weights)

    def test_another_network_is_refused(self):
        with pytest.raises(ModelError, match=r"other layers \(001_conv beside 001_conv\)"):
            beside(trace(self.net), network(graph((2, 4, 4), conv(4))))
        with pytest.raises(ModelError, match="other layers \\(3 nodes beside 2\\)"):
            beside(trace(self.net), network(graph((2, 4, 4), conv(3), conv(3))))

    def test_weights_of_another_file_or_pruned_otherwise_are_refused(self):
        known = replace(trace(self.net), provenance={"weights_sha256": "a"})
        for told in ({"weights_sha256": "b"}, {}, {"weights_sha256": "a", "weights_pruned": "by half"}):
            with pytest.raises(ModelError, match="its weights are not those of the trace of small on noise"):
                beside(known, replace(network(self.net), provenance=told))
        assert beside(known, replace(network(self.net), provenance={"weights_sha256": "a", "image": "x"})).filters is not None

    def test_a_network_without_weights_is_refused(self):
        with pytest.raises(ModelError, match="no weights"):
            beside(trace(self.net), Network(self.net, None, {}))


def test_eight_bit_weights_take_an_entry_less_room_than_sixteen_bit_ones():
    net = graph((16, 6, 6), conv(16, 3))
    loads = [filter_bytes(build(weighted(net), accelerator(data=Data(filter_bits=bits)), "dense+eie")) for bits in (8, 16)]
    assert loads[0] / loads[1] == pytest.approx(12 / 20, rel=0.01)


@given(graphs(), accelerators(), st.sampled_from(SCHEMES), st.integers(0, 99), *[st.sampled_from(range(4, 33, 4))] * 2)
@ENGINES
def test_any_width_of_elements_runs_in_both_engines_and_packs_its_bits(net, machine, scheme, seed, map_bits, weight_bits):
    machine = machine.model_copy(update={"data": Data(ifmap_bits=map_bits, filter_bits=weight_bits)})
    data = weighted(net, seed)
    schedule = compiled(data, machine, scheme)
    # each engine checks every identity, no block over-filled among them
    fast, reference = (engines.replay(schedule, machine, engine) for engine in ("fast", "reference"))
    assert fast.differences(reference) == []


def test_half_the_bits_move_half_the_bytes():
    net = graph((4, 8, 8), conv(8, 3))
    moved = [
        build(trace(net), accelerator(data=Data(ifmap_bits=bits, filter_bits=bits)), "dense").transfers.bytes_wanted.sum()
        for bits in (4, 8, 16)
    ]
    assert moved[0] * 4 == moved[1] * 2 == moved[2]
