"""Names under wrappers fit if one prefix, or the wrappers' own words, are all that is between."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_model
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision.ops import FrozenBatchNorm2d

from edgeprune.errors import ModelRefused, UsageError
from edgeprune.loading.state_dict_names import renamings
from edgeprune.loading.state_dicts import fill, tensors_of

WORDS = ("module", "_orig_mod", "_fsdp_wrapped_module")


def make():
    net = nn.Sequential()
    net.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    net.head = nn.Conv2d(4, 2, 1)
    return net


def weights(seed=1):
    torch.manual_seed(seed)
    return {k: torch.rand_like(t.float()) for k, t in make().state_dict().items()}


def filled(named, entry=None, network=None):
    network = network or make()
    return network, fill(network, named, "'w.pt'", "net.py:make", entry)


def same(network, expected):
    return all(torch.equal(t, expected[k].to(t.dtype)) for k, t in network.state_dict().items())


@given(
    front=st.sampled_from(["", "module.", "backbone.", "a.b.", "_orig_mod.module.", "net.model."]),
    word=st.sampled_from(WORDS),
    place=st.integers(0, 2),
)
@settings(max_examples=30, deadline=None)
def test_words_of_wrappers_fit_wherever_they_stand(front, word, place):
    expected = weights()
    named = {}
    for name, tensor in expected.items():
        parts = name.split(".")
        parts.insert(min(place, len(parts) - 1), word)
        named[front + ".".join(parts)] = tensor
    network, notes = filled(named)
    assert same(network, expected)
    assert notes == ()


def test_a_network_with_the_words_takes_weights_without_them():
    network = nn.Sequential()
    network.module = make()
    expected = weights()
    fill(network, expected, "w", "net")
    assert same(network.module, expected)


def test_averaged_prefixes_come_first_and_are_said():
    raw, averaged = weights(1), weights(2)
    both = {f"model.{k}": t for k, t in raw.items()}
    both |= {f"ema_model.module.{k}": t for k, t in averaged.items()}
    network, notes = filled(both)
    assert same(network, averaged)
    assert "averaged weights under 'ema_model'" in notes[0]
    network, _ = filled(both, "model")
    assert same(network, raw)


def test_two_networks_in_one_file_are_asked_about():
    both = {f"{side}.{k}": t for side in ("left", "right") for k, t in weights().items()}
    with pytest.raises(UsageError, match=r"fits under '(left|right)' and .*--entry"):
        filled(both)
    network, notes = filled(both, "right")
    assert same(network, weights())
    assert "left.features.0.weight" in notes[-1]
    with pytest.raises(UsageError, match="no entry or prefix 'middle'"):
        filled(both, "middle")


def test_a_wrapper_s_word_is_an_entry_where_names_begin_with_it():
    inside, beside = weights(1), weights(2)
    network, notes = filled({f"module.{k}": t for k, t in inside.items()}, "module")
    assert same(network, inside)
    assert notes == ()
    both = beside | {f"module.{k}": t for k, t in inside.items()}
    network, notes = filled(both, "module")
    assert same(network, inside)
    assert "features.0.weight" in notes[-1]
    deeper = {f"module.backbone.{k}": t for k, t in inside.items()}
    assert same(filled(deeper, "module")[0], inside)
    with pytest.raises(UsageError, match="no entry or prefix 'module'"):
        filled(beside, "module")


def test_another_average_is_not_offered_as_the_others():
    named = {f"{p}.{k}": t for p in ("ema", "swa", "net") for k, t in weights().items()}
    _, notes = filled(named)
    assert notes[0] == "the averaged weights under 'ema' are taken; --entry net takes the others"
    _, notes = filled({k: t for k, t in named.items() if not k.startswith("net.")})
    assert notes[0] == "the averaged weights under 'ema' are taken"


@given(
    prefixes=st.lists(st.sampled_from(["", "module.", "a.", "a.module.", "ema."]), unique=True),
    words=st.booleans(),
)
def test_no_reading_of_the_names_is_tried_twice(prefixes, words):
    wanted = [f"module.{k}" if words else k for k in weights()]
    readings = renamings([f"{p}{k}" for p in prefixes for k in wanted], wanted)
    assert all(one.names != other.names for one, other in combinations(readings, 2))


class Counting(nn.Linear):
    """Counts how often weights are copied into it."""

    copies = 0

    def _load_from_state_dict(self, *given):
        self.copies += 1
        super()._load_from_state_dict(*given)


@pytest.mark.parametrize(
    ("prefix", "entry", "copies"), [("", None, 1), ("module.", None, 2), ("net.", "net", 1)]
)
def test_weights_are_copied_no_oftener_than_readings_differ(prefix, entry, copies):
    network = Counting(3, 2)
    named = {f"{prefix}{k}": t + 1 for k, t in nn.Linear(3, 2).state_dict().items()}
    fill(network, named, "w", "net", entry)
    assert network.copies == copies
    assert torch.equal(network.weight, named[f"{prefix}weight"])


@pytest.mark.parametrize(
    "extra",
    [
        "criterion.pos_weight", "features.0.weight_fake_quant.scale", "features.0.total_ops",
        "features.0.activation_post_process.min_val", "aux_head.weight", "n_averaged",
    ],
)  # fmt: skip
def test_what_inference_does_not_need_is_left_out_and_named(extra):
    network, notes = filled({**weights(), extra: torch.ones(3)})
    assert same(network, weights())
    counts = extra.endswith(("total_ops", "n_averaged"))
    assert any(extra in note for note in notes) != counts


@pytest.mark.parametrize(
    "extra", ["features.3.weight", "head.bias2", "head2.weight", "features.0.0.weight", "3.weight"]
)
def test_a_layer_more_than_the_network_has_is_another_network(extra):
    with pytest.raises(ModelRefused, match=f"1 unexpected: {extra}"):
        filled({**weights(), extra: torch.ones(3)})


def test_names_that_the_network_translates_fit():
    torch.manual_seed(0)
    old = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(old[0])
    new = nn.Sequential(weight_norm(nn.Conv2d(3, 4, 1)), FrozenBatchNorm2d(4)).eval()
    fill(new, {f"module.{k}": t for k, t in old.state_dict().items()}, "w", "net")
    x = torch.randn(1, 3, 5, 5)
    # FrozenBatchNorm2d keeps its own epsilon, 1e-5, as BatchNorm2d does.
    torch.testing.assert_close(new(x), old.eval()(x))


class SharedHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = self.first


def test_a_shared_tensor_needs_one_name(tmp_path):
    network = SharedHead()
    save_model(network, str(tmp_path / "shared.safetensors"))
    other = SharedHead()
    fill(other, tensors_of(tmp_path / "shared.safetensors"), "w", "net")
    assert torch.equal(other.second.weight, network.first.weight)
    one = {k: t for k, t in network.state_dict().items() if k.startswith("second")}
    fill(other, one, "w", "net")


def test_tensors_that_code_does_not_share_get_both_names_of_the_file(tmp_path):
    save_model(SharedHead(), str(tmp_path / "shared.safetensors"))
    separate = SharedHead()
    separate.second = nn.Conv2d(3, 4, 1)
    fill(separate, tensors_of(tmp_path / "shared.safetensors"), "w", "net")
    assert torch.equal(separate.first.weight, separate.second.weight)


def test_a_missing_layer_is_named_whatever_the_prefix():
    named = {f"backbone.{k}": t for k, t in weights().items() if not k.startswith("head.b")}
    with pytest.raises(ModelRefused, match=r"1 missing: head\.bias"):
        filled(named)
