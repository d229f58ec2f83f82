"""Recording a model: the masks are PyTorch's own, epsilon means what it means everywhere, and the model stays as it was."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("torch.nn", reason="PyTorch is not installed: pip install 'accelsim[torch]'")

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch_samples import MODELS, SHAPE, Plain, PreActivated, Residual, Separable, Shared, make, nodes, pictures, recorded

import accelsim
import accelsim.torch
from accelsim import simulate, tracefile
from accelsim.errors import ModelError
from accelsim.inference import PRUNED_KINDS

ROOT = Path(__file__).parent.parent.parent
MODES = ("channel", "part", "element")


def run(model, images, **settings):
    """The output and the recorder."""
    with torch.no_grad(), accelsim.torch.record(model, **settings) as recorder:
        output = model(images)
    return output, recorder


def plain_truth(model, x, prune=lambda kind, data: data):
    """Plain's maps by hand: name -> tensor; `prune` is applied where epsilon is."""
    maps = {"input": x}
    maps["conv1"] = prune("conv", F.relu(model.bn1(model.conv1(x))))
    maps["pool"] = prune("maxpool", F.max_pool2d(maps["conv1"], 3, 2, 1, ceil_mode=True))
    maps["conv2"] = prune("conv", F.leaky_relu(model.conv2(maps["pool"]), 0.1))
    maps["fc1"] = F.relu(model.fc1(maps["conv2"].flatten(1)))
    maps["dropout"] = maps["fc1"]
    maps["fc2"] = model.fc2(maps["fc1"])
    maps["softmax"] = maps["fc2"].softmax(1)
    return maps


def overwrite(data, epsilon, mode, part):
    """Zero what a mode overwrites, element by element."""
    data = data.clone()
    small = data.abs() <= np.float32(epsilon).item()
    if mode == "channel":
        small = small.all(dim=3, keepdim=True).all(dim=2, keepdim=True).expand_as(data)
    elif mode == "part":
        small = small.clone()
        for y in range(0, data.shape[2], part[0]):
            for x in range(0, data.shape[3], part[1]):
                piece = small[:, :, y : y + part[0], x : x + part[1]]
                piece[...] = piece.all(dim=3, keepdim=True).all(dim=2, keepdim=True)
    data[small] = 0
    return data


def test_masks_and_maxima_are_those_of_pytorchs_own_maps():
    model, images = make(Plain), pictures(3)
    _, recorder = run(model, images, fine_part=(2, 3))
    with torch.no_grad():
        truth = plain_truth(model, images)
    assert len(recorder.traces) == 3
    for number, trace in enumerate(recorder.traces):
        assert [node.name for node in trace.graph.nodes] == list(truth)
        for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True):
            expected = truth[node.name][number].reshape(node.shape).numpy()
            np.testing.assert_array_equal(fmap.nonzero(), expected != 0, err_msg=node.name)
            assert fmap.part_max[0, 0, 0] == np.abs(expected[0, :2, :3]).max()
    assert any(fmap.zero_channels.any() for fmap in recorder.traces[0].maps), "the example must have a dead channel"


@pytest.mark.parametrize("mode", MODES)
def test_epsilon_overwrites_before_the_next_layer_reads(mode):
    model, images, part = make(Plain), pictures(2), (3, 4)
    output, recorder = run(model, images, epsilon=0.6, mode=mode, part=part)
    with torch.no_grad():
        truth = plain_truth(model, images, lambda kind, data: overwrite(data, 0.6, mode, part))
        assert not torch.equal(truth["softmax"], model(images)), "the example must prune something"
    assert torch.equal(output, truth["softmax"])
    for number, trace in enumerate(recorder.traces):
        assert (trace.epsilon, trace.mode, trace.source) == (0.6, mode, "inference")
        for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True):
            np.testing.assert_array_equal(fmap.nonzero(), truth[node.name][number].reshape(node.shape).numpy() != 0, err_msg=node.name)


@pytest.mark.parametrize("mode", MODES)
def test_a_sum_that_is_read_twice_is_pruned_before_both_readers(mode):
    model, images, epsilon = make(PreActivated), pictures(), 0.5
    output, _ = run(model, images, epsilon=epsilon, mode=mode)

    def prune(data):
        return overwrite(data, epsilon, mode, (8, 8))

    def normed(norm, x):
        # a normalisation that stands alone is a node of kind `scale`
        return prune(F.relu(norm(x))) if "scale" in PRUNED_KINDS else F.relu(norm(x))

    with torch.no_grad():
        x = prune(model.stem(images))
        x = prune(x + prune(model.conv1(normed(model.bn1, x))))
        x = prune(x + prune(model.conv2(normed(model.bn2, x))))
        expected = prune(F.relu(x)) if "activation" in PRUNED_KINDS else F.relu(x)
    assert torch.allclose(output, expected.mean((2, 3)))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_recording_does_not_change_the_output(kind, context):
    model, images = make(kind), pictures()
    with context():
        expected = model(images)
        with accelsim.torch.record(model) as recorder:
            first, second = model(images), model(images)
    assert torch.equal(first, expected)
    assert torch.equal(second, expected)
    assert len(recorder.traces) == 4
    one, other = (tracefile.digest(recorder.traces[number]) for number in (0, 2))
    assert one != other, "the second run has other names"
    for found, again in zip(recorder.traces[0].maps, recorder.traces[2].maps, strict=True):
        np.testing.assert_array_equal(found.mask, again.mask)


def state_of(model):
    return (
        {key: value.clone() for key, value in model.state_dict().items()},
        [(module.training, dict(module._forward_hooks), dict(module._forward_pre_hooks)) for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        set(model.__dict__),
    )


def same(one, other):
    return all(torch.equal(one[0][key], other[0][key]) for key in one[0]) and one[1:] == other[1:]


@pytest.mark.parametrize("kind", [Plain, Residual])
def test_the_model_is_left_as_it_was(kind):
    model = make(kind)
    model.requires_grad_(False)
    seen = []
    model.conv1.register_forward_hook(lambda *_: seen.append("conv1")) if kind is Plain else None
    before, random = state_of(model), torch.get_rng_state()
    run(model, pictures(), epsilon=0.3, mode="element")
    assert same(state_of(model), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()


def test_the_model_is_left_as_it_was_after_an_exception():
    model = make(Shared)
    before = state_of(model)

    def broken(*_):
        raise RuntimeError("broken on purpose")

    with accelsim.torch.record(model) as recorder:
        handle = model.conv.register_forward_hook(broken)
        with pytest.raises(RuntimeError, match="on purpose"):
            model(pictures())
        handle.remove()
        model(pictures())
    assert same(state_of(model), before)
    assert len(recorder.traces) == 2
    with pytest.raises(ZeroDivisionError), accelsim.torch.record(model):
        raise ZeroDivisionError
    assert same(state_of(model), before)


def test_a_forward_of_its_own_stays_the_models():
    model = make(Shared)
    original = model.forward
    model.forward = lambda x: original(x) * 2
    mine = model.forward
    _, recorder = run(model, pictures())
    assert model.forward is mine
    assert nodes(recorder.traces[0])[-1] == ("mul", "scale", "linear")


def test_gradients_flow_through_a_recorded_run():
    model, images = make(Residual), pictures().requires_grad_()
    model(images).sum().backward()
    expected = images.grad.clone()
    images.grad = None
    with accelsim.torch.record(model):
        model(images).sum().backward()
    torch.testing.assert_close(images.grad, expected)


def test_buffers_and_random_numbers_are_put_back_after_learning():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("runs", torch.zeros(()))
            self.noise = None

        def forward(self, x):
            self.runs += 1
            self.noise = torch.rand(3)
            return F.relu(x)

    model = Counts()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(model, pictures())
    assert model.runs == 1
    assert torch.equal(model.noise, expected)


def test_a_model_that_writes_into_its_input_is_recorded():
    class Centred(nn.Module):
        def forward(self, x):
            x.sub_(1.0)
            return F.relu_(x)

    images, model = pictures(), Centred()
    expected = F.relu(images - 1)
    with torch.no_grad(), accelsim.torch.record(model) as recorder:
        for given in (images.clone(), images.clone()):
            assert torch.equal(model(given), expected)
            assert torch.equal(given, expected)
    assert [trace.maps[1].zero_elements for trace in recorder.traces] == [int((image == 0).sum()) for image in expected] * 2
    assert recorder.traces[0].provenance["image_sha256"] == recorder.traces[2].provenance["image_sha256"]


def test_a_shared_module_is_a_node_each_time():
    trace = recorded(make(Shared), pictures())[0]
    assert nodes(trace)[1:] == [(name, "conv", "relu") for name in ("stem", "conv", "conv_1", "conv_2")]


def test_epsilon_by_layer_overwrites_those_alone():
    model, images = make(Plain), pictures()
    epsilon = {"conv1": 0.5, "pool": 1.5}
    output, recorder = run(model, images, epsilon=epsilon, mode="element")
    limits = iter((0.5, 1.5, 0.0))
    with torch.no_grad():
        truth = plain_truth(model, images, lambda kind, data: overwrite(data, next(limits), "element", (8, 8)))
    assert torch.equal(output, truth["softmax"])
    assert recorder.traces[0].epsilon == 1.5
    assert recorder.traces[0].provenance["epsilon_by_layer"] == '{"conv1": 0.5, "pool": 1.5}'


def test_epsilon_of_a_layer_that_is_not_overwritten_is_refused():
    with pytest.raises(ModelError) as fault:
        recorded(make(Plain), pictures(), epsilon={"conv1": 0.5, "fc1": 0.5})
    assert str(fault.value) == "Plain: epsilon of 'fc1', which is no layer that is overwritten\n    allowed: conv1, pool, conv2"


def test_what_is_returned_is_read_by_the_caller():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            before = self.conv(x)
            return {"before": before, "after": [F.relu(self.bn(before))]}

    assert nodes(recorded(make(Two), pictures())[0])[1:] == [("conv", "conv", "linear"), ("bn", "scale", "relu")]


def test_what_leads_nowhere_is_no_node():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.side = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            x = self.conv(x)
            self.side(x)
            return F.relu(x)

    assert nodes(recorded(Auxiliary(), pictures())[0])[1:] == [("conv", "conv", "relu")]


class Branching(nn.Module):
    """What it does depends on the image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        y = self.conv(x)
        return F.relu(y) if x[:, :1].amax() > 0 else torch.tanh(F.relu(y))


def test_a_model_that_goes_another_way_is_learned_again():
    model = Branching()
    with torch.no_grad(), accelsim.torch.record(model) as recorder:
        outputs = [model(sign * pictures(1).abs()) for sign in (1, -1, -1, 1)]
        expected = [model.conv(sign * pictures(1).abs()).relu() for sign in (1, -1)]
    assert [trace.graph.nodes[-1].kind for trace in recorder.traces] == ["conv", "activation", "activation", "conv"]
    assert torch.equal(outputs[3], expected[0])
    assert torch.equal(outputs[2], expected[1].tanh())


def test_a_model_that_never_does_the_same_is_refused():
    class Fickle(nn.Module):
        turn = 0

        def forward(self, x):
            self.turn += 1
            return F.relu(x) if self.turn % 2 else torch.tanh(x)

    with pytest.raises(ModelError, match="Fickle: it does not do the same twice"):
        recorded(Fickle(), pictures())


def test_every_batch_and_every_size_is_recorded_under_its_name():
    model = make(Separable)
    with torch.no_grad(), accelsim.torch.record(model, images=["cat", "dog", "fox"], name="mine") as recorder:
        for size in ((16, 14), (8, 10), (16, 14)):
            model(torch.randn(2, 3, *size))
    assert [trace.image for trace in recorder.traces] == ["cat", "dog", "fox", "image_3", "image_4", "image_5"]
    assert [trace.graph.nodes[0].shape[1:] for trace in recorder.traces[::2]] == [(16, 14), (8, 10), (16, 14)]
    assert {trace.graph.name for trace in recorder.traces} == {"mine"}


def test_no_two_images_have_one_name():
    model = make(Shared)
    with torch.no_grad(), accelsim.torch.record(model, images=["image_1"]) as recorder:
        model(pictures(2))
    assert [trace.image for trace in recorder.traces] == ["image_1", "image_1_"]


def test_an_opaque_part_may_fail_and_be_replaced():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.GroupNorm(2, 4)
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            try:
                return self.norm(x)
            except RuntimeError:
                return self.conv(x)

    with pytest.raises(ModelError, match="opaque: 'norm' is no module or call that ran"):
        recorded(Careful(), pictures(), opaque=["norm"])
    assert nodes(recorded(Careful(), pictures())[0])[1:] == [("conv", "conv", "linear")]


def test_an_empty_batch_has_no_trace():
    model = make(Shared)
    output, recorder = run(model, torch.zeros(0, *SHAPE))
    assert len(output) == 0
    assert recorder.traces == []


def test_provenance_says_where_the_data_is_from():
    model = make(Plain)
    _, recorder = run(model, pictures(), epsilon=0.25, mode="part", part=(4, 4))
    told = recorder.traces[1].provenance
    assert told["network"].startswith("PyTorch module torch_samples.Plain")
    assert told["engine"] == f"recorded from PyTorch {torch.__version__}"
    assert told["image"] == "image_1"
    assert told["pruned"] == f"{', '.join(sorted(PRUNED_KINDS))}, parts of 4x4"
    assert told["top5"].count(":") == 5
    assert len(told["weights_sha256"]) == len(told["image_sha256"]) == 64
    assert told["image_sha256"] != recorder.traces[0].provenance["image_sha256"]
    assert told["weights_sha256"] != run(make(Plain, seed=1), pictures())[1].traces[0].provenance["weights_sha256"]


def test_saved_traces_are_the_same_traces(tmp_path):
    _, recorder = run(make(Residual), pictures(), epsilon=0.1)
    paths = recorder.save(tmp_path / "traces")
    for trace, path in zip(recorder.traces, paths, strict=True):
        assert path.name == simulate.trace_name(trace)
        assert tracefile.digest(tracefile.load(path)) == tracefile.digest(trace)


def test_a_recorded_trace_is_replayed():
    machine = accelsim.load_accelerator(ROOT / "configs" / "accelerator" / "edge.yaml")
    for kind in (Plain, Residual, Shared):
        dense, marker = accelsim.compare(recorded(make(kind), pictures())[0], machine, ["channel_marker"]).results
        assert marker.totals["bytes_moved"] < dense.totals["bytes_moved"], kind


def test_half_precision_is_recorded_as_such():
    model = make(Shared).to(torch.bfloat16)
    trace = recorded(model, pictures().to(torch.bfloat16))[0]
    assert {node.dtype for node in trace.graph.nodes} == {"bfloat16"}


class Strange(nn.Module):
    """A part that cannot be recorded between two that can."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return torch.cumsum(self.head(self.norm(self.conv(x))), dim=2)


def test_all_unknown_operations_are_named_at_once():
    with pytest.raises(ModelError) as fault:
        recorded(Strange(), pictures())
    first, norm, cumsum, *remedy = str(fault.value).splitlines()
    assert first == "Strange: 2 operations cannot be recorded"
    assert norm == "    norm: torch.nn.functional.group_norm: not known"
    assert cumsum == "    cumsum: torch.cumsum: not known"
    assert remedy[0].startswith("    write it with known operations (")
    assert remedy[1].endswith("record(model, opaque=['norm'])")


def test_an_opaque_part_is_one_node_with_its_data():
    model, images = Strange(), pictures()
    trace = recorded(model, images, opaque=["norm", "cumsum"])[0]
    assert [(node.name, node.kind, node.inputs) for node in trace.graph.nodes[1:]] == [
        ("conv", "conv", (0,)),
        ("norm", "opaque", (1,)),
        ("head", "conv", (2,)),
        ("cumsum", "opaque", (3,)),
    ]
    assert trace.provenance["opaque"] == "cumsum, norm"
    np.testing.assert_array_equal(trace.maps[4].nonzero(), model(images)[0].numpy(force=True) != 0)
    machine = accelsim.load_accelerator(ROOT / "configs" / "accelerator" / "edge.yaml")
    with pytest.raises(ModelError, match="norm: kind 'opaque' cannot be scheduled"):
        accelsim.replay(trace, machine, "dense")


def test_an_opaque_name_that_does_not_occur_is_refused():
    with pytest.raises(ModelError) as fault:
        recorded(Strange(), pictures(), opaque=["norm", "cumsum", "nrom"])
    assert str(fault.value) == "Strange: opaque: 'nrom' is no module or call that ran\n    modules: conv, norm, head.  Did you mean 'norm'?"


def test_training_mode_is_refused_by_name():
    model = make(Plain).train()
    with pytest.raises(ModelError) as fault:
        recorded(model, pictures())
    assert str(fault.value) == "Plain: bn1 (BatchNorm2d) is in training mode; call model.eval() first"
    assert model.training
    assert model.bn1.num_batches_tracked == 0
    assert recorded(make(Shared).train(), pictures()), "a model that does the same in both modes is recorded in either"


def test_a_map_that_is_not_finite_names_its_layer():
    model = make(Plain)
    with torch.no_grad():
        model.conv2.weight[3] = float("nan")
    with pytest.raises(ModelError, match=r"Plain: conv2: NaN or infinity in its output \(channel 3 of 6\); check the weights"):
        recorded(model, pictures())
    images = pictures()
    images[1, 2, 3, 4] = float("inf")
    with pytest.raises(ModelError, match=r"Plain: input: NaN or infinity in its output \(channel 2 of 3\); change the preprocessing"):
        recorded(make(Plain), images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -1}, "epsilon -1; allowed: finite numbers from 0"),
        ({"epsilon": float("nan")}, "epsilon nan; allowed: finite numbers from 0"),
        ({"epsilon": {"conv": -1}}, "epsilon -1 of conv; allowed: finite numbers from 0"),
        ({"mode": "chanel"}, "mode 'chanel'; allowed: channel, part, element.  Did you mean 'channel'?"),
        ({"part": (0, 8)}, "part 0 x 8; allowed: 1 x 1 or more"),
        ({"fine_part": (8, -1)}, "fine_part 8 x -1; allowed: 1 x 1 or more"),
        ({"images": ["cat", "dog", "cat"]}, "images: 'cat' comes twice; traces are filed by these names"),
    ],
)
def test_settings_without_a_meaning_are_refused_at_once(settings, message):
    with pytest.raises(ModelError) as fault:
        accelsim.torch.record(make(Shared), **settings)
    assert str(fault.value) == message


@pytest.mark.parametrize("images", [(), (torch.zeros(2, 3), torch.zeros(1)), (torch.zeros(3),)])
def test_a_model_takes_one_batch_of_images(images):
    class Any(nn.Module):
        def forward(self, *tensors):
            return tensors

    model = Any()
    with accelsim.torch.record(model), pytest.raises(ModelError, match=r"one batch of images \[N, C, H, W\] is needed"):
        model(*images)


def test_an_image_without_a_batch_is_refused():
    with pytest.raises(
        ModelError, match=r"stem: .*conv2d: it makes a tensor \[4, 16, 14\] of a batch of 3; the first axis must be the batch"
    ):
        recorded(make(Shared), pictures(1)[0])


def test_recording_twice_at_once_is_refused():
    model = make(Shared)
    with accelsim.torch.record(model) as recorder, pytest.raises(ModelError, match="recorded already"), accelsim.torch.record(model):
        pass
    assert recorder.traces == []
    assert "forward" not in model.__dict__


def test_compiled_and_scripted_models_are_refused():
    class Compiled(nn.Module):
        """As `torch.compile` makes them, without waiting for its compiler to load."""

        def __init__(self, model):
            super().__init__()
            self._orig_mod = model

    with pytest.raises(ModelError, match=r"the model is compiled, which hides what it does; record the model from before torch\.compile"):
        accelsim.torch.record(Compiled(make(Shared)))
    model = make(Shared)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model.conv = torch.jit.script(model.conv)
    with pytest.raises(ModelError, match="conv is scripted, which hides what it does"):
        accelsim.torch.record(model)


def test_leaving_pytorch_in_between_is_noticed():
    class Through(nn.Module):
        def forward(self, x):
            return torch.from_numpy(np.maximum(x.numpy(), 0))

    with pytest.raises(ModelError, match="Through: what it returns does not come from the images by calls of PyTorch that can be seen"):
        recorded(Through(), pictures())


def test_the_recorder_is_there_when_it_is_asked_for():
    code = "import accelsim; print(accelsim.torch.record.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "record"


def test_without_pytorch_the_remedy_is_told():
    code = "import sys; sys.modules['torch'] = None; import accelsim.torch"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "accelsim.errors.ModelError: PyTorch is not installed" in done.stderr
    assert "pip install 'accelsim[torch]'" in done.stderr


def test_nothing_else_imports_pytorch():
    code = "import sys, accelsim.cli, accelsim.inference, accelsim.schedule; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
