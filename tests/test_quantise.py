"""Quantisation: grids, what is zero on them, and what the network then answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import inference, quantise, runfile, simulate, tracefile
from accelsim.graph import Graph, Node
from accelsim.inference import Input
from accelsim.layers.activations import INTEGERS
from accelsim.networks.network import Network
from accelsim.quantise import grid, groups, round_weights
from accelsim.runfile import Quantisation

DIGITS = Path(__file__).parent.parent / "configs" / "network" / "digits"
IMAGES = tuple(str(path) for path in sorted((DIGITS / "images").glob("*.png")))
FLOATS = st.just(0.0) | st.floats(2.0**-60, 2.0**60, width=32)


def asked(**changes) -> Quantisation:
    return Quantisation(images=IMAGES, **changes)


def digits(**changes) -> Network:
    file = runfile.load_network_file(DIGITS / "network.yaml")
    return simulate.load_network(file.model_copy(update={"quantise": asked(**changes)} if changes else {}))


def images() -> list[Input]:
    return [inference.photograph(path, runfile.load_network_file(DIGITS / "network.yaml").preprocessing) for path in IMAGES]


class TestAGrid:
    @given(low=FLOATS, high=FLOATS, bits=st.integers(2, 16), zero_point=st.booleans())
    def test_it_reaches_every_value_of_its_range_within_half_a_step(self, low, high, bits, zero_point):
        step, zero = grid((-low, high), bits, zero_point)
        least, most = INTEGERS[f"int{bits}"]
        assert least <= zero <= most
        for value in (-low, 0.0, high):
            nearest = (np.clip(np.rint(value / step) + zero, least, most) - zero) * step
            # the zero point is rounded itself, so an end may lie a whole step away
            assert abs(nearest - value) <= step * (1.0001 if zero_point else 0.5001)
        assert (np.clip(np.rint(0.0 / step) + zero, least, most) - zero) == 0

    @pytest.mark.parametrize("bits", [4, 8, 16])
    def test_a_map_without_negative_values_has_the_least_integer_for_zero_point(self, bits):
        assert grid((0.0, 6.0), bits, True) == (np.float32(6 / (2**bits - 1)), -(2 ** (bits - 1)))
        assert grid((0.0, 6.0), bits, False) == (np.float32(6 / (2 ** (bits - 1) - 1)), 0)

    def test_a_leaky_map_keeps_its_zero_point_low(self):
        step, zero = grid((-0.6, 6.0), 8, True)
        assert (step, zero) == (pytest.approx(6.6 / 255), -105)

    def test_nothing_but_zeros_still_has_a_step(self):
        assert grid((0.0, 0.0), 8, True) == (1.0, -128)
        assert grid((0.0, 0.0), 8, False) == (1.0, 0)


class TestWeights:
    @given(seed=st.integers(0, 99), bits=st.integers(2, 16), per_channel=st.booleans())
    def test_they_lie_within_half_a_step_on_whole_steps(self, seed, bits, per_channel):
        weight = np.random.default_rng(seed).normal(size=(5, 3, 3, 3)).astype(np.float32)
        found = round_weights(weight, bits, per_channel)
        most = 2 ** (bits - 1) - 1
        rows = (lambda x: x.reshape(5, -1)) if per_channel else (lambda x: x.reshape(1, -1))
        steps = np.abs(rows(weight)).max(axis=1, keepdims=True) / most
        assert (np.abs(rows(found) - rows(weight)) <= steps * 0.5001 + 1e-6 * np.abs(rows(weight))).all()
        codes = rows(found) / steps
        assert np.abs(codes - np.rint(codes)).max() < 1e-2
        assert np.abs(codes).max() <= most + 1e-2

    def test_a_step_for_each_filter_loses_less_than_one_for_all(self):
        weight = (
            np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
            * np.array([0.01, 0.1, 1, 10], np.float32)[:, None, None, None]
        )
        lost = [float(np.abs(round_weights(weight, 8, each) - weight)[0].max()) for each in (True, False)]
        assert lost[0] < lost[1]

    def test_a_filter_of_zeros_stays_one(self):
        weight = np.zeros((2, 3, 1, 1), np.float32)
        weight[1] = 1
        assert (round_weights(weight, 8, True) == weight).all()


def test_maps_that_are_put_together_or_handed_on_share_a_grid():
    nodes = (
        Node(0, "input", "input", (), (3, 4, 4)),
        Node(1, "a", "conv", (0,), (2, 4, 4)),
        Node(2, "b", "conv", (0,), (2, 4, 4)),
        Node(3, "pool", "maxpool", (2,), (2, 4, 4)),
        Node(4, "both", "concat", (1, 3), (4, 4, 4)),
        Node(5, "c", "conv", (4,), (2, 4, 4)),
    )
    assert groups(Graph("forked", nodes)) == (0, 1, 1, 1, 1, 5)


@pytest.mark.parametrize("maps", ["symmetric", "zero_point"])
class TestAQuantisedNetwork:
    def test_every_rounded_map_lies_on_its_grid_and_zero_is_the_zero_point(self, maps):
        network = digits(maps=maps)
        for step in inference.run(network, images()[3].tensor):
            node = step.node
            if node.kind not in quantise.GRIDDED_KINDS:
                assert (node.dtype, node.kind) == ("float32", "softmax")
                continue
            assert node.dtype == "int8"
            quantum = np.float32((node if "quantum" in node.attributes else network.graph.nodes[node.inputs[0]]).attributes["quantum"])
            codes = np.rint(step.output / quantum) + node.zero_point
            assert codes.min() >= -128
            assert codes.max() <= 127
            assert ((codes - node.zero_point) * quantum == step.output).all()
            assert ((codes == node.zero_point) == (step.output == 0)).all()

    def test_its_traces_mark_what_equals_the_zero_point(self, maps):
        floats, integers = (next(inference.record(network, images()[:1])) for network in (digits(), digits(maps=maps)))
        assert integers.provenance["quantised"].startswith(
            f"maps int8 {maps.replace('_', ' ')}, weights int8 per channel, 10 calibration images"
        )
        zeros = [sum(fmap.zero_elements or 0 for fmap in trace.maps) for trace in (floats, integers)]
        assert zeros[1] > zeros[0]

    def test_the_answers_stay(self, maps):
        for image in images():
            answers = [inference.top(inference.predict(network, image.tensor), 1)[0] for network in (digits(), digits(maps=maps))]
            assert answers[0][0] == answers[1][0]
            assert abs(answers[0][1] - answers[1][1]) < 0.05


def test_fewer_bits_make_more_zeros():
    zeros = []
    for bits in (12, 8, 6, 4):
        trace = next(inference.record(digits(map_bits=bits), images()[:1]))
        zeros.append(sum(fmap.zero_elements or 0 for fmap in trace.maps))
    assert zeros == sorted(zeros)
    assert zeros[0] < zeros[-1]


def test_symmetric_steps_of_maps_without_negatives_are_twice_as_wide_so_more_becomes_zero():
    counts = [
        sum(fmap.zero_elements or 0 for fmap in next(inference.record(digits(maps=maps), images()[:1])).maps)
        for maps in ("symmetric", "zero_point")
    ]
    assert counts[0] > counts[1]


def test_a_network_file_quantises_after_it_prunes(tmp_path, program):
    file = tmp_path / "int8.yaml"
    file.write_text(
        "network:\n  name: int8\n"
        f"  darknet: {{cfg: {DIGITS / 'digits.cfg'}, weights: {DIGITS / 'digits.weights'}}}\n"
        f"  preprocessing: grey\n  prune: {{threshold: 0.05}}\n  quantise: {{maps: symmetric, images: ['{DIGITS}/images/*.png']}}\n"
    )
    provenance = simulate.load_network(runfile.load_network_file(file)).provenance
    assert provenance["weights_pruned"].startswith('{"threshold": 0.05}: ')
    assert "maps int8 symmetric" in provenance["quantised"]
    code, out, _ = program("check", file)
    assert code == 0
    assert "quantised: maps int8 symmetric" in out
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(file.read_text().replace("maps: symmetric", "map: symmetric"))
    code, _, err = program("check", wrong)
    assert code == 2
    assert "wrong.yaml:6:14: network.quantise: unknown key 'map'" in err
    assert "Did you mean 'maps'?" in err


def test_a_trace_of_integers_is_read_as_it_was_written(tmp_path):
    trace = next(inference.record(digits(maps="zero_point"), images()[:1]))
    tracefile.save(trace, tmp_path / "int8.npz")
    again = tracefile.load(tmp_path / "int8.npz")
    assert again.graph == trace.graph
    assert [node.zero_point for node in again.graph.nodes][:5] == [-128] * 5
    assert again.provenance["quantised"] == trace.provenance["quantised"]


def test_a_leaky_networks_small_values_become_zero_and_whole_channels_with_them():
    """Float32 has no zeros behind a leaky activation; integers have."""
    rng = np.random.default_rng(0)
    node = Node(1, "leaky", "conv", (0,), (6, 8, 8), activation="leaky", slope=0.1)
    weight = rng.normal(size=(6, 3, 1, 1)).astype(np.float32) * np.array([1, 1, 1, 1, 1e-3, 1e-3], np.float32)[:, None, None, None]
    network = Network(
        Graph("leaky", (Node(0, "input", "input", (), (3, 8, 8)), node)), {1: {"weight": weight, "bias": np.zeros(6, np.float32)}}, {}
    )
    image = Input("noise", rng.normal(size=(3, 8, 8)).astype(np.float32), {})
    assert not next(inference.record(network, [image])).maps[1].zero_elements
    for maps in ("symmetric", "zero_point"):
        found = next(inference.record(quantise.quantise(network, asked(maps=maps), [image]), [image])).maps[1]
        assert found.zero_channels.tolist() == [False] * 4 + [True] * 2
