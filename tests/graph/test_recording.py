import gc
import weakref
from math import prod

import pytest
import torch
import zoo
from torch import nn
from torch.nn import functional as F
from traced_zoo import Calls

from edgeprune.artifacts.recorded import ROOT, TensorView
from edgeprune.graph.recording import trace_operators


def ran(function, *shapes, **parts):
    return trace_operators(Calls(function, **parts), shapes or [(1, 4, 6, 6)])


def named(record, name):
    return [operation for operation in record.operations if operation.name == name]


def only(record, name):
    (operation,) = named(record, name)
    return operation


# --- values --------------------------------------------------------------------------------------


def test_an_operator_reads_what_the_one_before_it_wrote():
    record = ran(lambda _, x: x.exp().sigmoid())
    first, second = record.operations
    assert record.inputs == (first.reads[0].value,)
    assert first.writes == second.reads
    assert record.outputs == (second.writes[0].value,)


@pytest.mark.parametrize("shape", [(1, 4, 6, 6), (1, 10)])
def test_an_in_place_operator_makes_a_new_value_of_the_same_name(shape):
    elsewhere = only(ran(lambda _, x: F.relu(x), shape), "relu")
    record = ran(lambda _, x: F.relu(x, inplace=True), shape)
    in_place = only(record, "relu")
    assert in_place == elsewhere
    assert in_place.reads[0].value != in_place.writes[0].value
    assert record.outputs == (in_place.writes[0].value,)


@pytest.mark.parametrize(
    "reshape",
    [
        lambda x: x.flatten(1),
        lambda x: x.view(1, 144),
        lambda x: x.reshape(4, 36).unsqueeze(0).squeeze(0),
        lambda x: x.detach(),
    ],
)
def test_a_reshape_keeps_the_value_and_shows_another_shape(reshape):
    record = ran(lambda _, x: reshape(x))
    shape = (1, 4, 6, 6)
    for operation in record.operations:
        assert operation.kind == "reshape"
        assert operation.reads == (TensorView(record.inputs[0], shape),)
        shape = operation.writes[0].shape
        assert operation.writes == (TensorView(record.inputs[0], shape),)
    assert shape == tuple(reshape(torch.empty(1, 4, 6, 6)).shape)
    assert record.outputs == record.inputs


def test_a_linear_layer_sees_the_flattened_map():
    network = zoo.build("flatten")
    record = trace_operators(network, [zoo.INPUT_SHAPE])
    pooled = only(record, "max_pool2d_with_indices").writes[0]
    view = named(record, "addmm")[0].arguments[1]
    assert pooled.shape == (1, 16, 4, 4)
    assert view == TensorView(pooled.value, (1, 16 * 4 * 4))


def test_a_view_of_what_was_written_through_another_view_is_not_exact():
    def halves(_, x):
        first, second = x.exp().chunk(2, dim=1)
        first.relu_()
        return first.sigmoid() + second.tanh()

    record = ran(halves)
    written = only(record, "relu").writes[0]
    assert only(record, "sigmoid").reads == (written,)
    assert only(record, "tanh").reads == (TensorView(written.value, written.shape, exact=False),)


def test_a_number_that_leaves_the_network_is_read_but_not_written():
    record = ran(lambda _, x: x * x.amax().item())
    left = only(record, "_local_scalar_dense")
    assert left.reads == only(record, "amax").writes
    assert left.writes == ()


def test_constants_do_not_depend_on_the_input():
    record = ran(lambda _, x: x + torch.tensor(3.0) * torch.ones(4, 1, 1))
    product, total = only(record, "mul"), only(record, "add")
    assert not {view.value for view in product.reads + product.writes} & set(
        record.activation_bytes
    )
    assert set(record.activation_bytes) == {record.inputs[0], total.writes[0].value}


def test_the_bytes_of_an_activation_are_those_of_its_elements():
    record = ran(lambda _, x: x.double().mean((2, 3)))
    assert [record.activation_bytes[op.writes[0].value] for op in record.operations] == [
        144 * 8,
        4 * 8,
    ]


# --- layers, names, arguments --------------------------------------------------------------------


def test_a_module_used_twice_is_recorded_twice_with_one_weight():
    record = trace_operators(zoo.build("shared"), [zoo.INPUT_SHAPE])
    uses = [each for each in named(record, "convolution") if each.layer == "1.conv"]
    assert len(uses) == 2
    assert uses[0].reads[0] != uses[1].reads[0]
    assert uses[0].reads[1:] == uses[1].reads[1:]


def test_layers_are_the_innermost_modules():
    network = zoo.build("residual")
    record = trace_operators(network, [zoo.INPUT_SHAPE])
    assert [each.layer for each in named(record, "add")] == ["1", "2"]
    assert ran(lambda _, x: x.exp()).operations[0].layer == ROOT


def test_arguments_follow_the_schema_with_defaults():
    weight = torch.ones(6, 2, 3, 3)
    record = ran(lambda _, x: F.conv2d(x, weight, stride=(2, 1), padding=1, groups=2))
    convolution = only(record, "convolution")
    schema = torch.ops.aten.convolution.default._schema
    passed = dict(zip([each.name for each in schema.arguments], convolution.arguments, strict=True))
    assert passed["input"] == convolution.reads[0] == TensorView(record.inputs[0], (1, 4, 6, 6))
    assert passed["weight"].shape == (6, 2, 3, 3)
    assert passed["bias"] is None
    assert (passed["stride"], passed["padding"], passed["groups"]) == ((2, 1), (1, 1), 2)


def test_keywords_and_what_was_left_out_are_arguments_too():
    record = ran(lambda _, x: torch.add(x.clone(memory_format=torch.preserve_format), x, alpha=2))
    assert only(record, "clone").arguments == (*only(record, "clone").reads, torch.preserve_format)
    assert only(record, "add").arguments == (*only(record, "add").reads, 2)
    assert only(ran(lambda _, x: x + x), "add").arguments[2] == 1


def test_a_list_of_tensors_is_one_argument():
    joined = only(ran(lambda _, x: torch.cat([x, x.exp()], dim=1)), "cat")
    assert joined.arguments == (joined.reads, 1)


def test_only_what_depends_on_the_input_has_macs():
    record = ran(lambda _, x: x @ (torch.ones(6, 5) @ torch.ones(5, 7)))
    assert [each.macs for each in record.operations if each.name in ("mm", "bmm")] == [
        0,
        24 * 6 * 7,
    ]


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_operation_is_consistent(name):
    network = zoo.build(name)
    record = trace_operators(network, [zoo.INPUT_SHAPE])
    written = {*record.inputs, *record.tensors}
    for each in record.operations:
        depends = any(view.value in record.activation_bytes for view in each.reads)
        assert all((view.value in record.activation_bytes) == depends for view in each.writes)
        assert {
            view.value for view in each.reads if view.value in record.activation_bytes
        } <= written
        assert all(view.exact for view in each.reads)
        written |= {view.value for view in each.writes}
    assert set(record.outputs) <= written


# --- parameters and buffers ----------------------------------------------------------------------


def test_batchnorm_reads_its_four_tensors_by_name():
    record = trace_operators(zoo.build("chain"), [zoo.INPUT_SHAPE])
    norm = named(record, "native_batch_norm")[0]
    assert norm.layer == "0.1"
    assert norm.kind == "norm"
    names = [record.tensors.get(view.value) for view in norm.arguments[:5]]
    tensors = ("weight", "bias", "running_mean", "running_var")
    assert names == [None, *(f"0.1.{each}" for each in tensors)]
    assert norm.arguments[5:] == (False, 0.1, 1e-5)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_parameter_and_buffer_has_a_value(name):
    network = zoo.build(name)
    record = trace_operators(network, [zoo.INPUT_SHAPE])
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    assert set(record.tensors.values()) == set(tensors)
    for view in (view for operation in record.operations for view in operation.reads):
        if view.value in record.tensors:
            assert prod(view.shape) == tensors[record.tensors[view.value]].numel()


def test_tied_weights_have_the_first_name():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    record = trace_operators(nn.Sequential(first, second), [(1, 4)])
    assert list(record.tensors.values()) == ["0.weight"]


def test_tensors_of_one_storage_keep_their_own_names():
    norm = nn.BatchNorm2d(4)
    norm.running_mean, norm.running_var = torch.ones(8).split(4)
    record = trace_operators(norm, [(1, 4, 6, 6)])
    reads = only(record, "native_batch_norm").reads
    assert [record.tensors[view.value] for view in reads[3:]] == ["running_mean", "running_var"]


# --- the module and the memory -------------------------------------------------------------------


def test_recording_leaves_modes_as_they_were_even_when_the_network_fails():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(7, 7)).train()
    network[1].eval()
    with pytest.raises(RuntimeError):
        trace_operators(network, [zoo.INPUT_SHAPE])
    assert [each.training for each in network.modules()] == [True, True, False, True]


def test_no_activation_is_kept_alive():
    alive = []

    def checked(_, x):
        y = x.exp()
        alive.append(weakref.ref(y.untyped_storage()))
        z = y.sigmoid()
        del y
        gc.collect()
        assert alive[0]() is None
        return z

    ran(checked)
    assert alive
