"""Networks whose code writes out channel counts: rebuilt from what ran, cut, still themselves."""

import copy
from dataclasses import replace

import pytest
import torch
import written_zoo
import zoo
from torch import nn
from traced_zoo import Calls, random_plan, source_of, traced, traced_network, unchanged

import edgeprune as ep
from edgeprune.costs import count
from edgeprune.pipeline.rebuilding import rebuilt_where_written
from edgeprune.program.network import RecordedNetwork
from edgeprune.pruning import Macs, prune, prune_to_budget
from edgeprune.pruning.masking import compare_with_masked
from edgeprune.pruning.surgery import remove_channels

IMAGES = torch.randn(3, *zoo.INPUT_SHAPE[1:], generator=torch.Generator().manual_seed(5))


def surveyed(network):
    source = source_of(network)
    return rebuilt_where_written(traced_network(network), source), source


@pytest.fixture(scope="module", params=written_zoo.WRITTEN)
def written(request):
    return surveyed(written_zoo.build(request.param))


# --- what is opened, and that it is right ---------------------------------------------------------


def test_more_channels_can_go_than_the_code_would_let(written):
    opened, source = written
    assert isinstance(opened.source.module, RecordedNetwork)
    before = sum(group.width for group in traced_network(source.module).prunable)
    assert sum(group.width for group in opened.prunable) > before


@pytest.mark.parametrize("seed", range(2))
def test_cut_it_computes_what_the_masked_code_computes(written, seed):
    opened, source = written
    plan = random_plan(opened, seed)
    pruned = remove_channels(opened, plan)
    original = replace(opened, source=replace(opened.source, module=source.module))
    assert compare_with_masked(original, plan, pruned, tolerance=1e-9).max_rel_diff <= 1e-12


def test_a_cut_batch_is_its_images_one_by_one(written):
    opened, _ = written
    pruned = remove_channels(opened, random_plan(opened, 3)).double()
    with torch.no_grad():
        alone = torch.cat([pruned(image[None]) for image in IMAGES.double()])
        torch.testing.assert_close(pruned(IMAGES.double()), alone)


def test_what_a_width_costs_is_what_the_cut_network_costs(written):
    opened, source = written
    costs = count(source.module, source.input)
    locked, pruned, allocated = prune_to_budget(opened, costs, Macs(0.75))
    left = count(pruned.module, source.input).macs / costs.macs
    assert left == pytest.approx(allocated.reached, abs=1e-9)
    assert not pruned.surgery.rolled_back
    assert locked is opened


def test_surgery_changes_neither_network(written):
    opened, source = written
    text = opened.source.module.recorded_program
    with unchanged(source.module), unchanged(opened.source.module):
        prune(opened, random_plan(opened, 1))
    assert opened.source.module.recorded_program == text


# --- what stays as it is --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(zoo.NETWORKS.keys() - {"padded-shortcut"}))
def test_networks_that_compute_their_sizes_stay_what_they_are(name):
    assert rebuilt_where_written(traced(name), traced(name).source) is traced(name)


def test_channels_padded_by_half_of_what_is_left_are_opened_as_well():
    model = traced("padded-shortcut")
    opened = rebuilt_where_written(model, model.source)
    assert {g.name: g.width for g in opened.prunable} == {
        "0.0": 16, "1.branch.0.0": 32, "1.branch.1": 16,
    }  # fmt: skip


def held(forward, **parts):
    network = Calls(
        lambda net, x: net.fc(forward(net, net.body(x)).view(-1, 320)),
        body=written_zoo.body(20), fc=nn.Linear(320, 4), **parts,
    )  # fmt: skip
    return network.eval()


UNRECORDABLE = {
    "branch on the batch": (lambda _, x: x * 2 if x.shape[0] > 2 else x, "larger batch"),
    "number from the batch": (lambda _, x: x * (x.shape[0] // 2 + 1), "differs by"),
    "number from data": (
        lambda _, x: x * float(x.detach().numpy().std()), "computes more from the batch",
    ),
    "no operator that is known": (
        lambda _, x: torch.special.bessel_j0(x), "'special_bessel_j0.default'",
    ),
    "uninitialised memory": (lambda _, x: x + torch.empty(x.shape).fill_(1.0), "empty"),
}  # fmt: skip


def assert_held(network, why):
    model = traced_network(network)
    left = rebuilt_where_written(model, source_of(network))
    assert left.source.module is network
    assert [group.name for group in left.prunable] == [group.name for group in model.prunable]
    (reason,) = [group.locked_because for group in left.groups if group.held_by_code]
    assert "view(1, 320)" in reason or "view(-1, 320)" in reason
    assert why in reason


@pytest.mark.parametrize(("forward", "why"), UNRECORDABLE.values(), ids=UNRECORDABLE)
def test_code_that_no_recording_stands_for_keeps_its_channels_and_says_why(forward, why):
    assert_held(held(forward), why)


def test_code_that_writes_to_its_own_buffer_keeps_its_channels():
    network = held(lambda net, x: x + net.seen.add_(1.0) * 0)
    network.register_buffer("seen", torch.zeros(1))
    assert_held(network, "writes to a tensor that it keeps")


# --- the whole line -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    network = Calls(
        lambda net, x: net.fc(net.drop(net.body(x)).view(-1, 320)),
        body=written_zoo.body(20), drop=nn.Dropout(0.5), fc=nn.Linear(320, 4),
    ).eval()  # fmt: skip
    config = ep.CompressConfig(bench=None, recover=(), budget=Macs(0.6))
    made = ep.compress(network, zoo.INPUT_SHAPE, config)
    return made, made.save(tmp_path_factory.mktemp("run") / "run"), network


def test_the_report_says_that_the_network_was_rebuilt(report):
    made, _, _ = report
    assert any("recorded graph" in note for note in made.document.notes)
    assert made.document.parity is not None
    assert made.document.ratio.macs == pytest.approx(made.document.budget.reached, abs=1e-9)


def test_the_compressed_network_is_one_that_trains(report):
    made, _, network = report
    module = copy.deepcopy(made.compressed.module).train()
    optimizer = torch.optim.SGD(module.parameters(), 0.05)
    losses = []
    for _ in range(30):
        loss = nn.functional.mse_loss(module(IMAGES), torch.eye(3, 4))
        optimizer.zero_grad()
        loss.backward()
        assert all(each.grad is not None for each in module.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < sum(losses[:5])
    assert not torch.equal(module(IMAGES), module(IMAGES))  # its dropout drops
    assert list(module.state_dict()) == list(network.state_dict())


def test_a_run_gives_the_network_back_without_its_code(report):
    made, folder, _ = report
    again = ep.load(folder)  # the class of the original is not importable, and is not asked for
    assert isinstance(again, RecordedNetwork)
    with torch.no_grad():
        assert torch.equal(again(IMAGES), made.compressed.module(IMAGES))
    assert again.recorded_program == made.compressed.module.recorded_program


def test_a_compressed_network_is_compressed_again(report):
    made, _, _ = report
    model, costs = ep.survey(ep.wrap(made.compressed.module, zoo.INPUT_SHAPE))
    _, pruned, allocated = prune_to_budget(model, costs, Macs(0.7))
    left = count(pruned.module, pruned.input).macs / costs.macs
    assert left == pytest.approx(allocated.reached, abs=1e-9)
