"""A stored graph is data: whatever it names, it runs operators of the table, or is refused."""

import copy
import json

import msgspec
import pytest
import torch
from invocation import edgeprune
from torch import nn

from edgeprune import blueprint
from edgeprune.artifacts import InputSpec
from edgeprune.blueprint import Allowed
from edgeprune.errors import ModelRefused
from edgeprune.graph.program_recording import recorded
from edgeprune.loading.run_directory import WEIGHTS
from edgeprune.program.checks import checked
from edgeprune.program.operators import OPERATORS, operator_of

INPUT = InputSpec(((1, 6),))


class Inner(nn.Module):
    """A layer, and code around it."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.fc(x * self.scale)[:, :3] + torch.zeros(x.shape[0], 3)


@pytest.fixture
def network():
    return recorded(nn.Sequential(Inner(), nn.ReLU()).eval(), INPUT)


def steps_of(program):
    """mul, the layer, two slices, zeros, add, and the last layer."""
    return program["steps"]


def other_operator(name):
    def change(program):
        steps_of(program)[0][1] = name

    return change


def other_argument(step, place, value):
    def change(program):
        steps_of(program)[step][3][place] = value

    return change


def in_step(step, field, value):
    def change(program):
        steps_of(program)[step][field] = value

    return change


def whole(key, value):
    def change(program):
        program[key] = value

    return change


def without_steps(program):
    program["steps"] = program["steps"][1:]


ADDED, LAYER, SLICED = 0, 1, 2
CHANGES = {
    "unknown operator": other_operator("load.default"),
    "operator of a library": other_operator("torchvision.nms.default"),
    "a method of Python's": other_operator("__class__.default"),
    "dunder overload": other_operator("mul.__class__"),
    "operator that writes aside": other_operator("mul.out"),
    "operator that reads its own memory": other_operator("empty.memory_format"),
    "operator with a file": other_operator("from_file.default"),
    "operator that draws": other_operator("rand.default"),
    "text for a tensor": other_argument(ADDED, 0, "../../etc/passwd"),
    "number for a list": other_argument(ADDED, 1, 1 << 70),
    "list for a number": other_argument(SLICED, 1, ["list", [1]]),
    "too few arguments": in_step(ADDED, 3, [["value", 0]]),
    "a value of later": other_argument(ADDED, 0, ["value", 4]),
    "a value of nowhere": other_argument(ADDED, 0, ["value", -1]),
    "a tensor that is not there": other_argument(ADDED, 1, ["tensor", "0.fc.nothing"]),
    "an attribute for a tensor": other_argument(ADDED, 1, ["tensor", "0.fc.in_features"]),
    "a name that leads out": other_argument(ADDED, 1, ["tensor", "0.__class__.__mro__"]),
    "a dtype that is none": other_argument(ADDED, 1, ["kind", "load"]),
    "a part of no kind": other_argument(ADDED, 1, ["call", "os.system"]),
    "a layer that is not there": in_step(LAYER, 1, "0.nothing"),
    "a layer by attribute": in_step(LAYER, 1, "0.fc.forward"),
    "itself as a layer": in_step(LAYER, 1, ""),
    "what is no layer": in_step(LAYER, 1, "0"),
    "operators inside of a layer": in_step(ADDED, 2, "0.fc"),
    "makes what is there": in_step(ADDED, 4, [0]),
    "makes out of order": in_step(ADDED, 4, [17]),
    "makes a text": in_step(ADDED, 4, ["x"]),
    "a step too few": without_steps,
    "no inputs": whole("inputs", 0),
    "inputs without end": whole("inputs", 1 << 40),
    "another version": whole("version", 2),
    "a field of its own": whole("hook", "os.system"),
    "a result of nowhere": whole("result", ["value", 99]),
    "no steps": whole("steps", {}),
    "a number that is none": whole("result", ["number", "0x7f"]),
}
TEXTS = ("", "null", "[]", "{}", "[" * 100_000, "\x00", "9" * 10_000, '{"inputs": 1}')


def changed(text, change):
    program = json.loads(text)
    change(program)
    return json.dumps(program)


def stored(network, folder):
    """The network as a run directory has it."""
    folder.mkdir()
    notes = {"plan": "{}", "input": msgspec.json.encode(INPUT).decode()}
    blueprint.write(network, folder / WEIGHTS, notes)
    return folder


def test_what_is_stored_is_read_and_computes_the_same(network, tmp_path):
    read = blueprint.read(stored(network, tmp_path / "run") / WEIGHTS).network(Allowed())
    x = torch.randn(4, 6)
    assert torch.equal(read(x), network(x))
    assert [step[0] for step in steps_of(json.loads(network.recorded_program))] == [
        "operator", "layer", *["operator"] * 3, "layer",
    ]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_graph_is_refused_when_it_is_read(change, network, tmp_path):
    network.recorded_program = changed(network.recorded_program, change)
    folder = stored(network, tmp_path / "run")
    with pytest.raises(ModelRefused, match="recorded graph"):
        blueprint.read(folder / WEIGHTS).network(Allowed())


@pytest.mark.parametrize("text", [*TEXTS, 7, ["x"], None], ids=repr)
def test_what_is_no_graph_is_refused(text, network):
    network.recorded_program = text
    with pytest.raises(ModelRefused, match="recorded graph"):
        network.require_whole()
    with pytest.raises(ModelRefused, match="recorded graph"):
        network(torch.randn(1, 6))


def test_the_command_line_refuses_it_with_4_and_prints_no_control_character(network, tmp_path):
    network.recorded_program = changed(
        network.recorded_program, in_step(LAYER, 1, "\x1b]0;title\x07")
    )
    ran = edgeprune("export", stored(network, tmp_path / "run"), "-o", tmp_path / "out")
    assert ran.code == 4
    assert "recorded graph is damaged" in ran.err
    assert "\x1b" not in ran.err


def test_a_graph_that_does_not_fit_its_layers_is_no_bug(network, tmp_path):
    network.recorded_program = changed(network.recorded_program, other_argument(SLICED, 1, 5))
    ran = edgeprune("inspect", stored(network, tmp_path / "run"))
    assert ran.code in (2, 4, 5)
    assert "Traceback" not in ran.err


def test_a_layer_that_gives_another_number_of_tensors_is_refused(network):
    def change(program):
        steps_of(program)[-1][4] = [6, 7]
        program["result"] = ["value", 7]

    text = changed(network.recorded_program, change)
    damaged = copy.deepcopy(network)
    damaged.recorded_program = text
    with pytest.raises(ModelRefused, match="gives 1 tensors, not 2"):
        damaged(torch.randn(1, 6))


def test_every_operator_of_the_table_makes_tensors_and_draws_none():
    for packet in sorted(OPERATORS):
        for overload in getattr(torch.ops.aten, packet).overloads():
            try:
                schema = operator_of(f"{packet}.{overload}")._schema
            except ValueError:
                continue
            assert all("Tensor" in str(each.type) for each in schema.returns)
            kinds = {str(each.real_type) for each in schema.arguments}
            assert not any("Generator" in kind or "Storage" in kind for kind in kinds)
            assert torch.Tag.nondeterministic_seeded not in schema_tags(packet, overload)


def schema_tags(packet, overload):
    return getattr(getattr(torch.ops.aten, packet), overload).tags


def test_a_program_is_read_once(network):
    assert checked(network.recorded_program) is checked(network.recorded_program)
