"""Running networks: what epsilon does, what traces record, and what is refused."""

from __future__ import annotations

import gc
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from accelsim import inference
from accelsim.errors import ModelError
from accelsim.graph import Graph, Node
from accelsim.images import PRESETS
from accelsim.layers import layer
from accelsim.networks import darknet
from accelsim.networks.network import Network
from accelsim.trace import INFERENCE, measure

SHAPE = (2, 7, 6)


def small_network(bias=(0.0, -9.0, 0.3, 0.0), weight=None) -> Network:
    """Convolution, pooling, another path, their concatenation and sum, scores. Filter 1 of the first layer never fires."""
    rng = np.random.default_rng(0)
    nodes = (
        Node(0, "input", "input", (), SHAPE),
        Node(1, "conv1", "conv", (0,), (4, 7, 6), (3, 3), pad=(1, 1, 1, 1), activation="relu"),
        Node(2, "pool", "maxpool", (1,), (4, 3, 3), (3, 2), (2, 2)),
        Node(3, "conv2", "conv", (2,), (4, 3, 3), activation="leaky", slope=0.1),
        Node(4, "sum", "add", (3, 2), (4, 3, 3)),
        Node(5, "both", "concat", (2, 4), (8, 3, 3)),
        Node(6, "mean", "avgpool", (5,), (8, 1, 1), (3, 3), (3, 3)),
        Node(7, "scores", "fc", (6,), (3, 1, 1)),
        Node(8, "softmax", "softmax", (7,), (3, 1, 1)),
        Node(9, "cost", "cost", (8,), (3, 1, 1)),
    )
    draw = lambda *size: rng.standard_normal(size).astype(np.float32) / 4  # noqa: E731 - four uses, one line
    weights = {
        1: {"weight": draw(4, 2, 3, 3) if weight is None else weight, "bias": np.array(bias, np.float32)},
        3: {"weight": draw(4, 4, 1, 1), "bias": draw(4)},
        7: {"weight": draw(3, 8), "bias": draw(3)},
    }
    return Network(Graph("small", nodes), weights, {"network_file": "small.cfg", "weights_sha256": "0" * 64})


def picture(seed=1):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def outputs(network, image, **settings):
    return {step.node.name: step.output for step in inference.run(network, image, **settings)}


def test_a_network_is_the_composition_of_its_layers():
    network, image = small_network(), picture()
    found = outputs(network, image)
    maps = []
    for node in network.graph.nodes:
        inputs = [maps[index] for index in node.inputs] or [image]
        maps.append(layer(node.kind).forward(node, inputs, network.weights.get(node.index, {})))
        np.testing.assert_allclose(found[node.name], maps[-1], rtol=1e-5, atol=1e-6, err_msg=node.name)


def test_nodes_come_in_order_and_progress_is_told():
    told = []
    steps = list(inference.run(small_network(), picture(), progress=lambda *step: told.append(step)))
    assert [step.node.index for step in steps] == list(range(10))
    assert told == [("small", done, 10) for done in range(1, 11)]


def test_the_same_image_gives_the_same_bits_again_and_in_threads():
    prepared = inference.prepare(small_network())
    first = inference.predict(prepared, picture()).tobytes()
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda seed: inference.predict(prepared, picture(seed % 2)).tobytes(), range(40)))
    assert set(runs[1::2]) == {first}
    assert len(set(runs)) == 2


def test_a_map_is_dropped_after_its_last_reader_unless_it_is_kept():
    alive = {}
    at_the_end = None
    for step in inference.run(small_network(), picture()):
        alive[step.node.name] = weakref.ref(step)
        if step.node.name == "both":
            gc.collect()
            at_the_end = {name for name, reference in alive.items() if reference() is not None}
    assert at_the_end == {"both"}


def test_kept_outputs_do_not_change_when_memory_is_used_again():
    prepared = inference.prepare(small_network())
    kept = outputs(prepared, picture())
    copies = {name: output.copy() for name, output in kept.items()}
    for seed in range(2, 5):
        outputs(prepared, picture(seed))
    for name, output in kept.items():
        np.testing.assert_array_equal(output, copies[name])


def test_outputs_cannot_be_written():
    step = next(iter(inference.run(small_network(), picture())))
    with pytest.raises(ValueError, match="read-only"):
        step.output[0] = 1


@pytest.mark.parametrize("mode", ["channel", "part", "element"])
def test_epsilon_0_changes_nothing_in_any_mode(mode):
    plain, pruned = outputs(small_network(), picture()), outputs(small_network(), picture(), mode=mode, part=(2, 2))
    assert {name: plain[name].tobytes() for name in plain} == {name: pruned[name].tobytes() for name in pruned}


def test_marks_are_of_the_output_before_overwriting():
    steps = {step.node.name: step for step in inference.run(small_network(), picture(), epsilon=0.3)}
    conv1 = steps["conv1"]
    plain = outputs(small_network(), picture())["conv1"]
    np.testing.assert_array_equal(conv1.maxima, plain.max(axis=(1, 2)))
    np.testing.assert_array_equal(conv1.zeros, (plain == 0).sum(axis=(1, 2)))
    np.testing.assert_array_equal(conv1.marked, plain.max(axis=(1, 2)) <= np.float32(0.3))
    np.testing.assert_array_equal(conv1.zero_channels, conv1.marked)
    assert conv1.marked.tolist() == [False, True, False, False]


@pytest.mark.parametrize("mode", ["channel", "part", "element"])
def test_what_each_mode_overwrites(mode):
    """Every pruned node must be the forward of its (pruned) inputs with exactly the mode's values overwritten."""
    network, epsilon, (h, w) = small_network(), np.float32(0.4), (2, 3)
    found = outputs(network, picture(), epsilon=float(epsilon), mode=mode, part=(h, w))
    changed = 0
    for node in network.graph.nodes[1:]:
        inputs = [found[network.graph.nodes[index].name] for index in node.inputs]
        expected = layer(node.kind).forward(node, inputs, network.weights.get(node.index, {})).copy()
        small = np.abs(expected) <= epsilon
        if mode == "channel":
            small[...] = small.all(axis=(1, 2), keepdims=True)
        elif mode == "part":
            for y in range(0, small.shape[1], h):
                for x in range(0, small.shape[2], w):
                    small[:, y : y + h, x : x + w] = small[:, y : y + h, x : x + w].all(axis=(1, 2), keepdims=True)
        if node.kind in inference.PRUNED_KINDS:
            changed += int((expected[small] != 0).sum())
            expected[small] = 0
        np.testing.assert_allclose(found[node.name], expected, rtol=1e-5, atol=1e-6, err_msg=node.name)
    assert changed, "the example must prune something"


@pytest.mark.parametrize("mode", ["channel", "part", "element"])
def test_zero_channels_are_those_of_the_output(mode):
    for step in inference.run(small_network(), picture(), epsilon=0.4, mode=mode, part=(2, 2)):
        np.testing.assert_array_equal(step.zero_channels, ~step.output.any(axis=(1, 2)), err_msg=step.node.name)


def test_a_network_without_weights_is_refused():
    network = Network(small_network().graph, None, {"network_file": "small.cfg"})
    with pytest.raises(ModelError, match=r"small: no weights.*\n.*small\.cfg"):
        inference.run(network, picture())


def test_an_image_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(ModelError) as fault:
        inference.run(small_network(), np.zeros((3, 7, 6), np.float32))
    assert str(fault.value) == "small takes an image of [2, 7, 6], given [3, 7, 6]; change the preprocessing"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -0.1}, "epsilon -0.1; allowed: finite numbers from 0"),
        ({"epsilon": float("nan")}, "epsilon nan; allowed: finite numbers from 0"),
        ({"mode": "chanel"}, "mode 'chanel'; allowed: channel, part, element"),
        ({"part": (0, 4)}, "part 0 x 4; allowed: 1 x 1 or more"),
    ],
)
def test_settings_without_a_meaning_are_refused_at_once(settings, message):
    with pytest.raises(ModelError) as fault:
        inference.run(small_network(), picture(), **settings)
    assert str(fault.value) == message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_refused(value):
    image = picture()
    image[1, 2, 3] = value
    with pytest.raises(ModelError, match=r"small: input: NaN or infinity in its output \(channel 1 of 2\); change the preprocessing"):
        inference.predict(small_network(), image)


def test_an_output_that_is_not_finite_names_its_layer():
    weight = np.full((4, 2, 3, 3), 3e38, np.float32)
    with np.errstate(all="ignore"), pytest.raises(ModelError, match="small: conv1: NaN or infinity in its output"):
        inference.predict(small_network(weight=weight), np.ones(SHAPE, np.float32))


def test_predict_gives_the_last_output_that_is_no_cost():
    network = small_network()
    np.testing.assert_array_equal(inference.predict(network, picture()), outputs(network, picture())["softmax"])


def test_top_scores_come_largest_first_and_ties_by_index():
    scores = np.array([0.1, 0.4, 0.1, 0.4], np.float32).reshape(4, 1, 1)
    assert [index for index, _ in inference.top(scores, 3)] == [1, 3, 0]
    assert inference.top(scores, 1)[0][1] == pytest.approx(0.4)


def test_record_makes_a_trace_of_each_image():
    network = small_network()
    inputs = [inference.Input(f"image{seed}", picture(seed), {"image": f"image{seed}.png"}) for seed in (1, 2)]
    traces = list(inference.record(network, inputs, epsilon=0.3, mode="part", part=(2, 2), fine_part=(2, 3)))
    assert [trace.image for trace in traces] == ["image1", "image2"]
    for trace, source in zip(traces, inputs, strict=True):
        assert (trace.source, trace.epsilon, trace.mode, trace.fine_part) == (INFERENCE, 0.3, "part", (2, 3))
        found = outputs(network, source.tensor, epsilon=0.3, mode="part", part=(2, 2))
        for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True):
            np.testing.assert_array_equal(fmap.nonzero(), found[node.name] != 0)
            assert fmap.part_max.shape == (node.shape[0], -(-node.shape[1] // 2), -(-node.shape[2] // 3))
        assert trace.provenance["image"] == f"{source.name}.png"
        assert trace.provenance["network_file"] == "small.cfg"
        assert trace.provenance["engine"] == inference.ENGINE
        assert trace.provenance["pruned"] == f"{', '.join(sorted(inference.PRUNED_KINDS))}, parts of 2x2"
        assert trace.provenance["top5"].count(":") == 3


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize(("epsilon", "mode"), [(0.0, "channel"), (0.2, "channel"), (0.2, "part"), (0.2, "element")])
def test_record_measures_what_run_shows_whether_or_not_it_need_look_again(epsilon, mode, values):
    source = inference.Input("image", picture(), {})
    (trace,) = inference.record(small_network(), [source], epsilon=epsilon, mode=mode, part=(2, 2), fine_part=(2, 3), values=values)
    for fmap, step in zip(trace.maps, inference.run(small_network(), picture(), epsilon=epsilon, mode=mode, part=(2, 2)), strict=True):
        seen = measure(step.output, (2, 3), values=values)
        for name in ("mask", "zero_channels", "part_max", "constant_channels"):
            np.testing.assert_array_equal(getattr(fmap, name), getattr(seen, name), err_msg=f"{step.node.name}: {name}")
        assert (fmap.shape, fmap.zero_elements) == (seen.shape, seen.zero_elements)
        assert (fmap.values is not None) == values


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_record_refuses_what_is_not_finite_as_run_does(value):
    image = picture()
    image[1, 2, 3] = value
    told = []
    for walk in (inference.run(small_network(), image), inference.record(small_network(), [inference.Input("image", image, {})])):
        with pytest.raises(ModelError) as refused:
            list(walk)
        told.append(str(refused.value))
    assert told[0] == told[1] == "small: input: NaN or infinity in its output (channel 1 of 2); change the preprocessing"


def test_record_names_the_image_it_works_on():
    told = []
    list(inference.record(small_network(), [inference.Input("cat", picture(), {})], progress=lambda *step: told.append(step)))
    assert told[0] == ("small on cat", 1, 10)


def test_a_photograph_brings_its_provenance(tmp_path):
    np.savez(tmp_path / "five.npz", dog=np.zeros((4, 5, 3), np.uint8))
    source = inference.photograph(f"{tmp_path}/five.npz:dog", PRESETS["rgb"])
    assert source.name == "dog"
    assert source.tensor.shape == (3, 4, 5)
    assert source.provenance["image"] == "five.npz:dog"
    assert len(source.provenance["image_sha256"]) == 64
    assert source.provenance["preprocessing"] == '{"scale": 255.0}'


def real_network(shared, folder, stem):
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("a real network takes hours without compiled kernels: unset NUMBA_DISABLE_JIT")
    folder = shared / "assets" / folder
    return inference.prepare(darknet.load(folder / f"{stem}.cfg", folder / f"{stem}.weights"))


@pytest.fixture(scope="module")
def tiny(shared):
    return real_network(shared, "tiny", "tiny")


@pytest.mark.parametrize(
    ("image", "percent"), [("cat", "15.25"), ("dog", "14.51"), ("eagle", "54.11"), ("giraffe", "29.71"), ("horses", "25.59")]
)
def test_tinynet_gives_the_papers_confidence_to_the_digit(shared, tiny, image, percent):
    """Source: arXiv 1812.09922, Table 4, TinyNet with epsilon 0."""
    source = inference.photograph(f"{shared}/assets/images/five_rgb.npz:{image}", PRESETS["tiny_letterbox"])
    ((_, best),) = inference.top(inference.predict(tiny, source.tensor), 1)
    assert f"{100 * best:.2f}" == percent


def test_two_threads_give_the_traces_of_one(shared):
    single = real_network(shared, "squeezenet_v1.1", "squeezenet")
    double = inference.prepare(single.network, threads=2)
    source = inference.photograph(f"{shared}/assets/images/five_rgb.npz:cat", PRESETS["squeezenet_v1.1"])
    runs = [{step.node.name: step.output.tobytes() for step in inference.run(prepared, source.tensor)} for prepared in (single, double)]
    assert runs[0] == runs[1]


def test_threads_are_an_option_of_a_run_file_and_of_the_program(program, tmp_path):
    digits = Path(inference.__file__).parent.parent / "configs/network/digits"
    traces = []
    for threads in (1, 2):
        arguments = ["infer", digits / "network.yaml", "--image", digits / "images/3.png", "--out", tmp_path / str(threads)]
        assert program(*arguments, "--threads", threads)[0] == 0
        (trace,) = (tmp_path / str(threads)).glob("*.npz")
        traces.append(trace.read_bytes())
    assert traces[0] == traces[1]
    code, _, error = program("infer", digits / "network.yaml", "--image", digits / "images", "--store", tmp_path / "s", "--threads", 2)
    assert code == 2
    assert error == "--threads 2 with --store\n    a store is filled by processes of one thread each: give --processes\n"
    assert not (tmp_path / "s").exists()


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ModelError, match="threads 0; allowed: 1 or more"):
        inference.prepare(small_network(), threads=0)


def test_a_leaky_network_has_no_zero_channels(shared, tiny):
    source = inference.photograph(f"{shared}/assets/images/five_rgb.npz:dog", PRESETS["tiny_letterbox"])
    assert not sum(int(step.marked.sum()) for step in inference.run(tiny, source.tensor) if step.node.kind == "conv")


def test_squeezenet_saves_what_the_data_of_the_paper_saves(shared):
    """Source: golden/authors/paper_anchors.csv, Table 4 SqueezeNet, epsilon 0.1: mean over the five images of pruned conv elements."""
    prepared = real_network(shared, "squeezenet_v1.1", "squeezenet")
    saved = []
    for image in ("cat", "dog", "eagle", "giraffe", "horses"):
        source = inference.photograph(f"{shared}/assets/images/five_rgb.npz:{image}", PRESETS["squeezenet_v1.1"])
        steps = [step for step in inference.run(prepared, source.tensor, epsilon=0.1) if step.node.kind == "conv"]
        saved.append(sum(int(step.marked.sum()) * step.node.shape[1] * step.node.shape[2] for step in steps))
    assert np.mean(saved) == pytest.approx(18283.8)


def test_epsilons_by_layer_prune_those_layers_alone():
    single = outputs(small_network(), picture(), epsilon=0.3)
    plain = outputs(small_network(), picture())
    by_layer = outputs(small_network(), picture(), epsilon={"conv1": 0.3})
    assert by_layer["conv1"].tobytes() == single["conv1"].tobytes()
    everywhere = dict.fromkeys(("conv1", "pool", "conv2", "sum"), 0.3)
    found = outputs(small_network(), picture(), epsilon=everywhere)
    assert {name: found[name].tobytes() for name in found} == {name: single[name].tobytes() for name in single}
    none = outputs(small_network(), picture(), epsilon={})
    assert {name: none[name].tobytes() for name in none} == {name: plain[name].tobytes() for name in plain}


def test_provenance_records_epsilons_by_layer():
    (trace,) = inference.record(small_network(), [inference.Input("cat", picture(), {})], epsilon={"conv1": 0.3, "pool": 0.1})
    assert trace.epsilon == 0.3
    assert trace.provenance["epsilon_by_layer"] == '{"conv1": 0.3, "pool": 0.1}'
    assert trace.provenance["pruned"] == ", ".join(sorted(inference.PRUNED_KINDS))


@pytest.mark.parametrize(
    ("epsilon", "message"),
    [
        (
            {"conv9": 0.1},
            "small: epsilon of 'conv9', which is no layer that is overwritten\n    allowed: conv1, pool, conv2, sum.  Did you",
        ),
        ({"softmax": 0.1}, "small: epsilon of 'softmax', which is no layer that is overwritten"),
        ({"conv1": -1.0}, "epsilon -1.0 of conv1; allowed: finite numbers from 0"),
    ],
)
def test_epsilons_by_layer_without_a_meaning_are_refused(epsilon, message):
    with pytest.raises(ModelError) as fault:
        inference.run(small_network(), picture(), epsilon=epsilon)
    assert str(fault.value).startswith(message)
