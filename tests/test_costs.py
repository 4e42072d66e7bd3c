import subprocess
import sys

import onnx
import pytest
import torch
import zoo
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from traced_zoo import Calls

from edgeprune.artifacts import InputSpec
from edgeprune.costs import count, count_onnx
from edgeprune.errors import ModelUnsupported

FLOAT_BYTES = 4


def costs(module, *shapes):
    return count(module.eval(), InputSpec(shapes or (zoo.INPUT_SHAPE,)))


# --- multiply-accumulates ------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_macs_are_half_of_torchs_own_flop_count(name):
    network = zoo.build(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(zoo.INPUT_SHAPE))
    assert costs(network).macs == counter.get_total_flops() // 2


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "by_hand"),
    [
        (lambda b: nn.Conv2d(8, 12, 3, padding=1, bias=b), 12 * 8 * 9 * 100),
        (lambda b: nn.Conv2d(8, 12, 3, stride=2, bias=b), 12 * 8 * 9 * 16),
        (lambda b: nn.Conv2d(8, 12, 3, padding=1, groups=4, bias=b), 12 * 2 * 9 * 100),
        (lambda b: nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=b), 8 * 25 * 100),
        (lambda b: nn.ConvTranspose2d(8, 12, 2, 2, bias=b), 8 * 12 * 4 * 100),
        (lambda b: nn.ConvTranspose2d(8, 12, 3, 2, groups=4, bias=b), 8 * 3 * 9 * 100),
    ],
)
def test_macs_of_a_convolution_by_hand(layer, by_hand, bias):
    assert costs(layer(bias), (1, 8, 10, 10)).macs == by_hand


@pytest.mark.parametrize(
    ("function", "shapes", "by_hand"),
    [
        (lambda _, x: F.conv2d(x, torch.ones(5, 3, 3, 3)), [(1, 3, 6, 6)], 5 * 3 * 9 * 16),
        (lambda _, x: F.linear(x, torch.ones(7, 5), torch.ones(7)), [(1, 4, 5)], 4 * 5 * 7),
        (lambda _, x: x @ torch.ones(5), [(1, 4, 5)], 4 * 5),
        (lambda _, x, y: x @ y, [(1, 4, 5), (1, 5, 6)], 4 * 5 * 6),
        (lambda _, x, y: torch.einsum("bij,bkj->bik", x, y), [(1, 4, 5), (1, 6, 5)], 4 * 5 * 6),
        (lambda _, x: F.scaled_dot_product_attention(x, x, x), [(1, 2, 9, 5)], 2 * 2 * 81 * 5),
        (lambda _, x: x * 2 + x.mean(), [(1, 4, 5)], 0),
    ],
)
def test_macs_of_functional_calls_by_hand(function, shapes, by_hand):
    assert costs(Calls(function), *shapes).macs == by_hand


def test_attention_is_its_six_matrix_products():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    module = Calls(lambda m, x: m.attention(x, x, x, need_weights=False)[0], attention=attention)
    assert costs(module, (1, 6, 8)).macs == 4 * 6 * 8 * 8 + 2 * 6 * 6 * 8


def test_a_recurrent_layer_passes_both_matrices_at_every_step():
    lstm = nn.LSTM(5, 7, batch_first=True)
    module = Calls(lambda m, x: m.lstm(x)[0], lstm=lstm)
    assert costs(module, (1, 3, 5)).macs == 3 * (4 * 7 * 5 + 4 * 7 * 7)


def test_costs_are_those_of_one_image():
    assert costs(zoo.build("residual"), (4, 3, 16, 16)) == costs(zoo.build("residual"))


# --- parameters ----------------------------------------------------------------------------------


class WithIdleParts(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 1)
        self.training_only = nn.Conv2d(4, 50, 1)
        self.discarded = nn.Conv2d(4, 60, 3)

    def forward(self, x):
        x = self.body(x)
        if self.training:
            return x, self.training_only(x)
        self.discarded(x)
        return x


def test_what_no_output_needs_costs_nothing():
    measured = costs(WithIdleParts())
    assert measured.params == 3 * 4 + 4
    assert measured.unused_params == (4 * 50 + 50) + (4 * 60 * 9 + 60)
    assert measured.macs == 3 * 4 * 256
    assert [layer.name for layer in measured.layers] == ["body"]


def test_auxiliary_heads_of_googlenet_are_not_counted():
    from torchvision.models import googlenet

    network = googlenet(weights=None, init_weights=False)
    idle = [*network.aux1.parameters(), *network.aux2.parameters()]
    measured = costs(network, (1, 3, 64, 64))
    assert measured.unused_params == sum(p.numel() for p in idle)
    assert measured.params + measured.unused_params == sum(p.numel() for p in network.parameters())


def test_tied_weights_count_once():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    assert costs(nn.Sequential(first, second), (1, 4)).params == 16


def test_parameters_behind_a_reparametrisation_count():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
    assert costs(layer, (1, 4)).params == 6 + 4 * 6 + 6


# --- peak activation memory ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (nn.Conv2d(3, 8, 1), 3 + 8),
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU()), 3 + 8),
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.SiLU(), nn.Conv2d(8, 5, 1)), 8 + 5),
        (Calls(lambda m, x: x + m.conv(x), conv=nn.Conv2d(3, 3, 1)), 3 + 3 + 3),
        (Calls(lambda m, x: torch.cat([x, m.conv(x)], 1), conv=nn.Conv2d(3, 5, 1)), 3 + 5 + 8),
        (Calls(lambda m, x: m.conv(x.relu()) + x, conv=nn.Conv2d(3, 3, 1)), 3 + 3 + 3),
    ],
)
def test_peak_activations_by_hand(network, channels):
    pixels = 10 * 10
    peak = costs(network, (1, 3, 10, 10)).peak_activation_bytes
    assert peak == channels * pixels * FLOAT_BYTES


@pytest.mark.parametrize(
    ("one_spelling", "another"),
    [
        (lambda _, x: F.silu(x * 2), lambda _, x: (x * 2) * torch.sigmoid(x * 2)),
        (lambda _, x: F.hardswish(x), lambda _, x: x * F.relu6(x + 3) / 6),
        (lambda _, x: F.gelu(x), lambda _, x: x * 0.5 * (1 + torch.erf(x / 2**0.5))),
        (lambda _, x: F.relu(x.exp()), lambda _, x: F.relu_(x.exp_())),
        (lambda m, x: m.conv(x) + x, lambda m, x: m.conv(x).add_(x)),
    ],
)
def test_spelling_does_not_change_the_peak(one_spelling, another):
    conv = nn.Conv2d(3, 3, 1)
    first, second = (costs(Calls(f, conv=conv)) for f in (one_spelling, another))
    assert first.peak_activation_bytes == second.peak_activation_bytes


def test_a_tensor_filled_piece_by_piece_is_an_activation():
    def fill(module, x):
        whole = torch.zeros(1, 8, 4, 4)
        whole[:, :4] = module.conv(x)
        whole[:, 4:] = module.conv(x).relu()
        return module.conv2(whole)

    network = Calls(fill, conv=nn.Conv2d(3, 4, 1), conv2=nn.Conv2d(8, 2, 1))
    measured = costs(network, (1, 3, 4, 4))
    assert measured.params == sum(p.numel() for p in network.parameters())
    assert measured.macs == 16 * (2 * 3 * 4 + 8 * 2)


# --- layers and the module -----------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_layers_add_up(name):
    network = zoo.build(name)
    measured = costs(network)
    assert sum(layer.macs for layer in measured.layers) == measured.macs
    assert sum(layer.params for layer in measured.layers) == measured.params
    assert measured.unused_params == 0
    assert max(y.activation_bytes for y in measured.layers) == measured.peak_activation_bytes
    names = {each for each, _ in network.named_modules()} | {"(root)"}
    assert {layer.name for layer in measured.layers} <= names


def test_a_layers_share_bears_its_name_and_shape():
    layers = {layer.name: layer for layer in costs(zoo.build("chain")).layers}
    conv = layers["1.0"]
    assert (conv.macs, conv.params) == (16 * 32 * 9 * 256, 16 * 32 * 9)
    assert conv.output_shape == (1, 32, 16, 16)
    assert conv.activation_bytes == (16 + 32) * 256 * FLOAT_BYTES


def test_counting_leaves_the_module_as_it_was():
    network = zoo.build("residual").train()
    network[1].eval()
    network[0][0].weight.requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    gradients = [p.requires_grad for p in network.parameters()]
    count(network, InputSpec((zoo.INPUT_SHAPE,)))
    assert all(torch.equal(tensor, state[n]) for n, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert [p.requires_grad for p in network.parameters()] == gradients


# --- ONNX files; those of the zoo are counted in tests/export ------------------------------------


def onnx_file(path, nodes, inputs, outputs, weights=()):
    def infos(shapes):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    tensors = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, torch.ones(shape).flatten().tolist())
        for name, shape in dict(weights).items()
    ]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("somewhere.else", 1)]
    graph = helper.make_graph(nodes, "graph", infos(inputs), infos(outputs), tensors)
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


@pytest.mark.parametrize(
    ("node", "inputs", "output", "weights", "by_hand"),
    [
        (("Gemm", "a w", {"transA": 1}), {"a": (5, 4)}, (4, 6), {"w": (5, 6)}, 4 * 5 * 6),
        (("MatMul", "a b", {}), {"a": (2, 4, 5), "b": (2, 5, 6)}, (2, 4, 6), {}, 2 * 4 * 5 * 6),
        (("Einsum", "a b", {"equation": "ij,kj->ik"}), {"a": (4, 5), "b": (6, 5)}, (4, 6), {}, 120),
        (
            ("Conv", "a w", {"group": 2}),
            {"a": (1, 4, 5, 5)},
            (1, 6, 3, 3),
            {"w": (6, 2, 3, 3)},
            972,
        ),
    ],
)
def test_macs_of_onnx_operators_by_hand(tmp_path, node, inputs, output, weights, by_hand):
    kind, operands, attributes = node
    made = helper.make_node(kind, operands.split(), ["y"], **attributes)
    path = onnx_file(tmp_path / "m.onnx", [made], inputs, {"y": output}, weights)
    assert count_onnx(path).macs == by_hand


def test_a_symbolic_batch_counts_as_one(tmp_path):
    made = helper.make_node("Relu", ["a"], ["y"])
    for batch in ("batch", 1):
        shape = (batch, 3, 4)
        path = onnx_file(tmp_path / f"{batch}.onnx", [made], {"a": shape}, {"y": shape})
        assert count_onnx(path).peak_activation_bytes == 12 * FLOAT_BYTES


def test_statistics_and_settings_are_no_parameters(tmp_path):
    nodes = [
        helper.make_node("BatchNormalization", ["a", "scale", "b", "mean", "var"], ["n"]),
        helper.make_node("Resize", ["n", "", "scales"], ["y"]),
    ]
    weights = {**dict.fromkeys(("scale", "b", "mean", "var"), (3,)), "scales": (4,)}
    shape = {"a": (1, 3, 4, 4)}
    path = onnx_file(tmp_path / "m.onnx", nodes, shape, {"y": (1, 3, 4, 4)}, weights)
    assert count_onnx(path).params == 6


def test_what_cannot_be_known_is_refused(tmp_path):
    unknown = helper.make_node("Relu", ["a"], ["b"], domain="somewhere.else")
    last = helper.make_node("Relu", ["b"], ["y"])
    path = onnx_file(tmp_path / "m.onnx", [unknown, last], {"a": (1, 3)}, {"y": (1, 3)})
    with pytest.raises(ModelUnsupported, match="shape of 'b' is unknown"):
        count_onnx(path)


def test_branches_are_refused(tmp_path):
    shape = {"y": (1, 3)}
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape["y"])
    branch = helper.make_graph([helper.make_node("Relu", ["a"], ["y"])], "branch", [], [output])
    cast = helper.make_node("ReduceMax", ["a"], ["m"], keepdims=0)
    flag = helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL)
    made = helper.make_node("If", ["c"], ["y"], name="it", then_branch=branch, else_branch=branch)
    path = onnx_file(tmp_path / "m.onnx", [cast, flag, made], {"a": (1, 3)}, shape)
    with pytest.raises(ModelUnsupported, match="'it': what If costs depends on the data"):
        count_onnx(path)


def test_counting_a_file_imports_no_torch(tmp_path):
    made = helper.make_node("Relu", ["a"], ["y"])
    path = onnx_file(tmp_path / "m.onnx", [made], {"a": (1, 3)}, {"y": (1, 3)})
    script = (
        "import sys; from pathlib import Path; from edgeprune.costs import count_onnx; "
        "count_onnx(Path(sys.argv[1])); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(path)]
    ran = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert ran.stdout.strip() == "False"
