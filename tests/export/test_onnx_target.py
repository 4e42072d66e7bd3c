from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
import pytest
import torch
import zoo
from torch import nn

import edgeprune.export.onnx as under_test
from edgeprune.artifacts import InputSpec
from edgeprune.errors import ModelUnsupported, UsageError, VerificationFailed
from edgeprune.export import TARGETS, OnnxTarget
from edgeprune.export.calling import named_outputs
from edgeprune.export.exporters import write
from edgeprune.export.parity import Verification, in_onnxruntime
from edgeprune.export.simplify import signature, simplify

INPUT = InputSpec((zoo.INPUT_SHAPE,))
PLAIN = OnnxTarget(simplify=False)
Pair = namedtuple("Pair", ["mean", "spread"])


@dataclass
class Detection:
    boxes: torch.Tensor
    note: str
    scores: list[torch.Tensor]


class Returns(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.wrap = wrap

    def forward(self, *inputs):
        x = self.conv(inputs[0])
        return self.wrap(x, x.mean((2, 3)) + sum(extra.mean() for extra in inputs[1:]))


@pytest.mark.parametrize(
    ("wrap", "names"),
    [
        (lambda a, b: a, ["output"]),
        (lambda a, b: (a, b), ["output_0", "output_1"]),
        (lambda a, b: [a, None, b], ["output_0", "output_2"]),
        (lambda a, b: {"mask": a, "label": b}, ["mask", "label"]),
        (lambda a, b: OrderedDict(out=a, aux={"x": b}), ["out", "aux_x"]),
        (lambda a, b: Pair(a, b), ["mean", "spread"]),
        (lambda a, b: Detection(a, "text", [b, b + 1]), ["boxes", "scores_0", "scores_1"]),
        (lambda a, b: {"input": a}, ["input_"]),
    ],
)
def test_outputs_are_named_after_what_the_network_returns(wrap, names):
    result = Returns(wrap)(torch.zeros(zoo.INPUT_SHAPE))
    assert list(named_outputs(result, ("input",))) == names


@pytest.mark.parametrize("dynamic_batch", [True, False])
def test_several_inputs_and_nested_outputs(tmp_path, dynamic_batch):
    network = Returns(lambda a, b: Detection(a, "text", [b, b + 1])).eval()
    spec = InputSpec((zoo.INPUT_SHAPE, (1, 7), (1, 2, 2)))
    target = OnnxTarget(simplify=False, dynamic_batch=dynamic_batch)
    exported = target(network, spec, tmp_path / "m.onnx", {})
    inputs, outputs = ([name for name, *_ in side] for side in signature(exported.path))
    assert inputs == ["input_0", "input_1", "input_2"]
    assert outputs == ["boxes", "scores_0", "scores_1"]
    assert exported.notes == ()


@pytest.mark.parametrize("name", ["channel-shuffle", "two-outputs"])
def test_a_dynamic_batch_stays_dynamic_through_simplification(tmp_path, name):
    target = OnnxTarget(dynamic_batch=True)
    exported = target(zoo.build(name), INPUT, tmp_path / "m.onnx", {})
    assert exported.parity.batch_sizes == (1, 3)
    assert exported.notes == ()
    inputs, outputs = signature(exported.path)
    assert all(shape[0] is None and None not in shape[1:] for _, _, shape in (*inputs, *outputs))


def test_a_batch_fixed_by_the_network_is_found_out(tmp_path):
    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(zoo.INPUT_SHAPE)

    with pytest.raises(ModelUnsupported, match="shape"):
        OnnxTarget(dynamic_batch=True)(Fixed(), INPUT, tmp_path / "m.onnx", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opset", [11, 21])
def test_the_opset_asked_for_is_the_opset_written(tmp_path, opset):
    reports = []
    exported = OnnxTarget(opset=opset, simplify=False)(
        zoo.build("chain"), INPUT, tmp_path / "m.onnx", {}, lambda *each: reports.append(each)
    )
    shares = [share for share, _ in reports]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert exported.opset == opset
    assert [each.version for each in onnx.load(exported.path).opset_import] == [opset]
    assert bool(exported.notes) == (opset < 18)


@pytest.mark.parametrize("opset", [1, 8, 99])
def test_an_opset_that_cannot_be_had_is_refused(tmp_path, opset):
    with pytest.raises(UsageError, match=f"no opset {opset}: choose 9 to"):
        OnnxTarget(opset=opset)(zoo.build("chain"), INPUT, tmp_path / "m.onnx", {})


class Branching(nn.Module):
    """What the newer exporter refuses and the older one traces."""

    def forward(self, x):
        return x + 1 if x.abs().sum() >= 0 else x


class Impossible(nn.Module):
    """No exporter knows this operator."""

    def forward(self, x):
        return torch.linalg.qr(x)[1]


class Failing(nn.Module):
    def forward(self, x):
        raise ValueError("these channels do not fit")


def test_the_older_exporter_steps_in_and_says_so(tmp_path, capfd):
    exported = PLAIN(Branching(), INPUT, tmp_path / "m.onnx", {})
    assert len(exported.notes) == 1
    assert "newer exporter failed, the older one was used: cannot be written" in exported.notes[0]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("network", "message"),
    [(Impossible(), "cannot be written as ONNX: .*qr"), (Failing(), "these channels do not fit")],
)
def test_what_cannot_be_exported_is_refused_and_leaves_no_trace(tmp_path, network, message, capfd):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"what was there")
    with pytest.raises(ModelUnsupported, match=message):
        OnnxTarget()(network, INPUT, path, {})
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")


def test_a_network_in_training_mode_is_exported_for_inference(tmp_path):
    network = zoo.build("chain").train()
    network[1].eval()
    modes = [module.training for module in network.modules()]
    running_mean = network[0][1].running_mean.clone()
    PLAIN(network, INPUT, tmp_path / "m.onnx", {})
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(network[0][1].running_mean, running_mean)


def wrong(source, destination):
    model = onnx.load(source)
    spoil(model)
    onnx.save(model, destination)


def spoil(model):
    """Change the weights as one flipped bit could: one becomes ten."""
    weight = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] += 10
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


@pytest.mark.parametrize(
    ("simplifier", "note"),
    [
        (partial(simplify, command=("false",)), "failed"),
        (wrong, "after simplification, output 'output' of the exported"),
    ],
)
def test_a_simplifier_that_fails_costs_a_note_only(tmp_path, monkeypatch, simplifier, note):
    monkeypatch.setattr(under_test, "simplify", simplifier)
    exported = OnnxTarget()(zoo.build("chain"), INPUT, tmp_path / "m.onnx", {})
    assert exported.parity.max_rel_diff < 1e-5
    assert len(exported.notes) == 1
    assert note in exported.notes[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    network = zoo.build("chain")
    path = tmp_path_factory.mktemp("written") / "m.onnx"
    write(network, {"input": torch.zeros(zoo.INPUT_SHAPE)}, path, opset=None, dynamic_batch=False)
    return network, path


def test_a_changed_weight_fails_verification(written, tmp_path):
    network, path = written
    model = onnx.load(path)
    spoil(model)
    onnx.save(model, tmp_path / "spoiled.onnx")
    assert Verification()(in_onnxruntime(path), network, INPUT, "net.onnx").max_rel_diff < 1e-5
    with pytest.raises(VerificationFailed, match=r"'output' of the exported net\.onnx is not"):
        Verification()(in_onnxruntime(tmp_path / "spoiled.onnx"), network, INPUT, "net.onnx")


def test_an_unreadable_file_fails_verification(written, tmp_path):
    _, path = written
    (tmp_path / "half.onnx").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VerificationFailed, match="cannot load"):
        in_onnxruntime(tmp_path / "half.onnx")


def test_comparison_stops_at_enough_inputs_or_enough_time(written):
    network, path = written
    run = in_onnxruntime(path)
    assert Verification(n=20)(run, network, INPUT, "net.onnx").n == 20
    assert Verification(n=20, seconds=0)(run, network, INPUT, "net.onnx").n == 8


def test_outputs_that_are_no_numbers_fail_verification(written):
    network, path = written
    run = in_onnxruntime(path)
    broken = lambda names, feed: [out * np.nan for out in run(names, feed)]  # noqa: E731
    with pytest.raises(VerificationFailed, match="inf of its scale"):
        Verification()(broken, network, INPUT, "net.onnx")


class Cancelling(nn.Module):
    """Adds a large number and takes it away again, which rounds to a thousandth of the output."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return (self.conv(x) + 2e4) - 2e4


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (1.02, False)])
def test_the_network_s_own_rounding_is_no_fault_of_the_file(factor, same):
    network = Cancelling().eval()

    def run(names, feed):
        """The same sum, in the order in which nothing is lost."""
        with torch.no_grad():
            return [factor * network.conv(torch.from_numpy(feed["input"])).numpy()]

    if same:
        assert 1e-4 < Verification()(run, network, INPUT, "net.onnx").max_rel_diff < 5e-3
    else:
        with pytest.raises(VerificationFailed, match=r"of the exported net\.onnx"):
            Verification()(run, network, INPUT, "net.onnx")


def test_a_network_that_does_not_round_by_more_gets_no_more(written):
    network, path = written
    run = in_onnxruntime(path)
    off = lambda names, feed: [out * 1.001 for out in run(names, feed)]  # noqa: E731
    with pytest.raises(VerificationFailed, match="at most 1e-04 is rounding"):
        Verification()(off, network, INPUT, "net.onnx")


def test_comparison_is_repeatable(written):
    network, path = written
    first, second = (
        Verification(seed=3)(in_onnxruntime(path), network, INPUT, "net.onnx") for _ in range(2)
    )
    assert first == second


def test_targets_are_listed():
    assert TARGETS["onnx"] is OnnxTarget
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        TARGETS["onx"]
