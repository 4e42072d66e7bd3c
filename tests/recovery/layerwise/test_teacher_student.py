"""PairedForward: teacher and student at every layer, each with its channels, at its level."""

import pytest
import torch
import zoo
from torch import nn
from traced_zoo import Calls, plan_without, random_plan, traced, traced_network, unchanged

from edgeprune.artifacts import PruningPlan
from edgeprune.pruning import prune
from edgeprune.recovery.layerwise.teacher_student import PairedForward

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
WHOLE = PruningPlan((), "0" * 64, {})
PAIRED = nn.Conv1d | nn.Conv2d | nn.Linear | nn.BatchNorm2d


def met_on(paired, images=IMAGES):
    """Every layer pair, whether it differs, and the teacher's channels that stay."""
    found = {}

    def on_layer(pair):
        assert pair.layer not in found
        found[pair.layer] = (pair, paired.differs(pair), paired.staying(pair))

    paired.run((images,), on_layer)
    return found


def hooks(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_it_pairs_every_layer_once_and_changes_nothing_given(name, synthetic):
    model = traced(name)
    pruned = prune(model, random_plan(model, 4, most=0.7))
    with unchanged(model.source.module), unchanged(pruned.module):
        paired = PairedForward(model, pruned, synthetic=synthetic)
        found = met_on(paired)
    assert hooks(model.source.module) == hooks(pruned.module) == hooks(paired.student) == 0
    modules = dict(model.source.module.named_modules())
    expected = {layer for layer, module in modules.items() if isinstance(module, PAIRED)}
    assert set(found) == expected - ({"1.conv"} if name == "shared" else set())
    student = dict(paired.student.named_modules())
    for layer, (pair, _, staying) in found.items():
        module = student[layer]
        axis = -1 if isinstance(module, nn.Linear) else 1
        sizes = [getattr(module, n, None) for n in ("out_channels", "out_features", "num_features")]
        assert staying.shape[axis] == next(size for size in sizes if size)
        assert pair.wanted.shape[0] == len(IMAGES)


@pytest.mark.parametrize("name", ["residual", "concat", "grouped", "flatten", "layer-scale"])
def test_what_stays_is_what_the_cut_layer_gives_where_it_reads_the_same(name):
    model = traced(name)
    group = model.prunable[0]
    pruned = prune(model, plan_without(model, group.name, set(range(0, group.width, 2))))
    paired = PairedForward(model, pruned, synthetic=False)
    first, (pair, differs, staying) = next(iter(met_on(paired).items()))
    assert first == group.name
    assert not differs
    assert staying.shape[1] == group.width // 2
    made = paired.student.get_submodule(first)(pair.actual).detach()
    torch.testing.assert_close(made, staying, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_of_the_whole_network_nothing_differs(name, synthetic):
    paired = PairedForward(traced(name), prune(traced(name), WHOLE), synthetic=synthetic)
    assert not any(differs for _, differs, _ in met_on(paired, 3 * IMAGES + 1).values())


def test_whatever_lies_behind_a_cut_differs():
    model = traced("residual")
    pruned = prune(model, plan_without(model, "1.branch.0.0", {0, 1, 2}))
    found = met_on(PairedForward(model, pruned, synthetic=True))
    same = {layer for layer, (_, differs, _) in found.items() if not differs}
    assert same == {"0.0", "0.1", "1.branch.0.0"}


def test_what_only_a_batch_norm_reads_is_normed():
    model = traced("residual")
    paired = PairedForward(model, prune(model, WHOLE), synthetic=True)
    assert paired.normed == {"0.0", "1.branch.0.0", "1.branch.1", "2.branch.0.0", "2.branch.1"}
    assert paired.norms == {"0.1", "1.branch.0.1", "1.branch.2", "2.branch.0.1", "2.branch.2"}


def test_a_batch_norm_that_runs_twice_is_passed():
    network = Calls(
        lambda net, x: net.last(net.norm(net.two(net.norm(net.one(x)).relu()))),
        one=nn.Conv2d(3, 8, 3), two=nn.Conv2d(8, 8, 3), norm=nn.BatchNorm2d(8),
        last=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    model = traced_network(zoo.calibrated(network, IMAGES))
    paired = PairedForward(model, prune(model, WHOLE), synthetic=True)
    assert paired.norms == paired.normed == set()
    assert set(met_on(paired)) == {"one", "two", "last"}


def test_layers_that_share_a_weight_are_passed():
    network = Calls(
        lambda net, x: net.three(net.two(net.one(x).relu()).relu()),
        one=nn.Conv2d(3, 8, 3), two=nn.Conv2d(8, 8, 1), three=nn.Conv2d(8, 8, 1),
    )  # fmt: skip
    network.three.weight = network.two.weight
    model = traced_network(network)
    assert set(met_on(PairedForward(model, prune(model, WHOLE), synthetic=False))) == {"one"}


def test_statistics_are_a_batchs_until_finalized():
    model = traced("chain")
    paired = PairedForward(model, prune(model, WHOLE), synthetic=True)
    before = {key: value.clone() for key, value in paired.student.state_dict().items()}
    paired.run((3 * IMAGES + 1,), lambda _: None)
    assert not torch.equal(paired.student[0][1].running_mean, before["0.1.running_mean"])
    paired.finalize()
    after = paired.student.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_statistics_that_are_transferred_last():
    """On a batch that is at the stored level itself, what the student's layers give is stored."""
    network = nn.Sequential(*zoo.conv_bn(3, 8), *zoo.conv_bn(8, 6), nn.Conv2d(6, 2, 1))
    model = traced_network(zoo.calibrated(network, IMAGES))
    pruned = prune(model, plan_without(model, "0", {1, 2, 5}))
    paired = PairedForward(model, pruned, synthetic=False)

    def transfer(pair):
        if pair.layer in paired.norms:
            paired.transfer(pair)

    _, (made,) = paired.run((IMAGES,), transfer)
    paired.finalize()
    torch.testing.assert_close(paired.student(IMAGES), made)
    read = paired.student[:4](IMAGES)
    mean, unbiased = read.mean((0, 2, 3)), read.var((0, 2, 3))
    torch.testing.assert_close(paired.student[4].running_mean, mean, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(paired.student[4].running_var, unbiased, rtol=1e-2, atol=1e-3)
    assert int(paired.student[4].num_batches_tracked) == int(network[4].num_batches_tracked)


def test_progress_ends_with_the_whole():
    model = traced("chain")
    passed = []
    paired = PairedForward(model, prune(model, WHOLE), synthetic=True)
    paired.run((IMAGES,), lambda _: None, lambda *given: passed.append(given))
    shares = [share for share, _ in passed]
    assert shares == [pytest.approx((place + 1) / 7) for place in range(7)]
    assert passed[-1][1] == "3.2"
