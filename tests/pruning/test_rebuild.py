"""Rebuild: the greedy order against least squares from scratch, and the laws of what costs nothing.

The oracle knows nothing of inverses that shrink: for every channel that might go next it solves for
the best weights of all that would stay, and compares.
"""

import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from traced_zoo import source_of, traced

from edgeprune.graph.layers import filter_rows
from edgeprune.moments.propagation import Propagation
from edgeprune.pruning.importance import consumers, importance, rebuild
from edgeprune.pruning.importance.consumers import Consumer, consumers_of
from edgeprune.pruning.importance.rebuild import Rebuild, Removal, eliminate, scores
from edgeprune.tracing import trace


def costs(given: Consumer) -> torch.Tensor:
    """What each position costs before any went."""
    return Removal(given, 1).costs()


def without(given: Consumer, position: int) -> Consumer:
    """The consumer after one position went."""
    removal = Removal(given, 1)
    removal.take(position)
    return removal.without(torch.arange(len(given.columns)) == position)


def problem(channels, positions, outputs, taps, seed):
    """Weights (O, I, T), H (I, I), R (T, T) and the columns of each position (P, k)."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, channels, taps, generator=draw).double()
    mixed, blurred = (torch.randn(n, n, generator=draw).double() for n in (channels, taps))
    matrix = mixed @ mixed.T + 0.1 * torch.eye(channels)
    order = torch.randperm(channels, generator=draw)
    columns = order[: channels // positions * positions].reshape(-1, positions).T
    return weight, matrix, blurred @ blurred.T + 0.1 * torch.eye(taps), columns


def consumer(weight, matrix, correlation, columns):
    gram = torch.einsum("oia,ab,ojb->ij", weight, correlation, weight)
    return Consumer(gram, torch.linalg.inv(matrix), columns)


def missed(weight, matrix, correlation, gone):
    """What the outputs miss without some columns, all other weights chosen anew."""
    root = torch.linalg.cholesky(matrix).T
    stay = [column for column in range(len(matrix)) if column not in gone]
    wanted = root @ (weight @ torch.linalg.cholesky(correlation)).transpose(0, 1).flatten(1)
    if not stay:
        return float(wanted.square().sum())
    design = root[:, stay]
    found = torch.linalg.lstsq(design, wanted, driver="gelsd").solution
    return float((wanted - design @ found).square().sum())


def brute_force(problems):
    """The order in which positions go, and what each costs, all consumers together."""
    positions = len(problems[0][3])
    gone, before, order, paid = [], 0.0, [], []

    def loss(places):
        return sum(
            missed(weight, matrix, correlation, set(columns[places].flatten().tolist()))
            for weight, matrix, correlation, columns in problems
        )

    for _ in range(positions):
        left = [place for place in range(positions) if place not in gone]
        losses = {place: loss([*gone, place]) for place in left}
        best = min(losses, key=losses.__getitem__)
        gone, order = [*gone, best], [*order, best]
        paid.append(losses[best] - before)
        before = losses[best]
    return order, paid


@settings(max_examples=25, deadline=None)
@given(
    each=st.integers(1, 3), positions=st.integers(1, 4), extra=st.integers(0, 2),
    count=st.integers(1, 3), taps=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_greedy_order_and_its_costs_are_those_of_solving_anew(
    each, positions, extra, count, taps, seed
):
    """One consumer or several, one channel at a position or several, others read beside them."""
    channels = each * positions + min(extra, positions - 1)
    problems = [problem(channels, positions, 3, taps, seed + number) for number in range(count)]
    order, paid = eliminate([consumer(*each) for each in problems])
    wanted_order, wanted = brute_force(problems)
    assert order.tolist() == wanted_order
    assert paid.tolist() == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_several_readers_lose_what_each_loses():
    first, second = (consumer(*problem(6, 6, 4, 2, seed)) for seed in (1, 2))
    _, paid = eliminate([first, second])
    assert float(paid[0]) == pytest.approx(float((costs(first) + costs(second)).min()))
    assert float(paid.sum()) == pytest.approx(
        sum(float(eliminate([each])[1].sum()) for each in (first, second))
    )


def test_what_went_is_there_no_more_and_the_others_cost_no_less():
    before = consumer(*problem(6, 3, 4, 2, 0))
    left = costs(without(before, 1))
    assert len(left) == len(costs(before)) - 1
    assert float(left.min()) > 0


def test_putting_updates_off_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    given = [consumer(*problem(9, 9, 4, 2, seed)) for seed in (0, 1)]
    put_off = eliminate(given)
    monkeypatch.setattr(rebuild, "TOGETHER", 1)
    at_once = eliminate(given)
    assert torch.equal(put_off[0], at_once[0])
    torch.testing.assert_close(put_off[1], at_once[1])


def test_the_highest_scores_are_those_that_went_last():
    order = torch.tensor([2, 0, 3, 1])
    found = scores(order, torch.tensor([1.0, 3.0, 2.0, 5.0]).double(), partitions=2)
    assert found[:4].argsort().tolist() == order.tolist()
    assert torch.equal(found[:4], found[4:])
    assert found[:4].tolist() == pytest.approx([1.5, 2.5, 0.5, 1.5], rel=1e-6)


def test_duplicates_go_first_and_for_nothing():
    weight, matrix, correlation, _ = problem(6, 6, 4, 2, 3)
    double = torch.eye(6)[[0, 1, 2, 3, 4, 2, 4]].double()
    twice = double @ matrix @ double.T + 1e-9 * torch.eye(7)
    found = consumer(weight[:, [0, 1, 2, 3, 4, 5, 0]], twice, correlation, torch.arange(7)[:, None])
    order, paid = eliminate([found])
    assert {(2, 5), (4, 6)} == {tuple(sorted(pair)) for pair in double_of(order[:2].tolist())}
    assert float(paid[:2].max()) < 1e-6 * float(paid[2])


def double_of(places):
    return [{2: (2, 5), 5: (2, 5), 4: (4, 6), 6: (4, 6)}[place] for place in places]


# --- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chain", "residual", "depthwise", "inverted-residual", "grouped"])
def test_all_channels_together_cost_each_consumer_all_that_it_makes(name):
    """Also where several layers read a residual stream: their shares of variance add up."""
    model = traced(name)
    found = {group.name: eliminate(each)[1] for group, each in consumers_of(model, 1e-9)}
    for group in model.prunable:
        consumers = len(group.having("consumer"))
        assert float(found[group.name].sum()) == pytest.approx(consumers, rel=1e-3)


def test_a_duplicate_goes_first_and_costs_next_to_nothing():
    """The moments of a duplicate are not quite those of its original: ReLU's series is cut off."""
    network = zoo.build("chain")
    conv, norm = network[1][0], network[1][1]
    with torch.no_grad():
        for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor[7] = tensor[20]
    found = importance(trace(source_of(network)), Rebuild())["1.0"]
    lowest = found.argsort()
    assert int(lowest[0]) in (7, 20)
    assert float(found[lowest[0]]) < 0.1 * float(found[lowest[1]])


def test_a_constant_channel_costs_nothing():
    network = zoo.build("chain")
    with torch.no_grad():
        network[1][1].weight[5] = 0
        network[1][1].bias[5] = 3
    found = importance(trace(source_of(network)), Rebuild())["1.0"]
    assert int(found.argmin()) == 5
    assert float(found[5]) == 0


def permuted(network, order):
    """The chain with the channels of its second layer in another order."""
    with torch.no_grad():
        conv, norm = network[1][0], network[1][1]
        for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(tensor[order].clone())
        network[2][0].weight.copy_(network[2][0].weight[:, order].clone())
    return network


def test_permuted_channels_have_permuted_scores():
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    before = importance(trace(source_of(zoo.build("chain"))), Rebuild())["1.0"]
    after = importance(trace(source_of(permuted(zoo.build("chain"), order))), Rebuild())["1.0"]
    torch.testing.assert_close(after, before[order])


def test_a_batchnorm_hides_the_scale_of_what_it_reads():
    network = zoo.build("chain")
    before = importance(trace(source_of(network)), Rebuild())["1.0"]
    with torch.no_grad():
        network[2][0].weight[3] *= 10
        network[2][1].running_mean[3] *= 10
        network[2][1].running_var[3] *= 100
        network[2][1].eps = 0
    after = importance(trace(source_of(network)), Rebuild())["1.0"]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=0)


def test_outputs_that_nobody_listens_to_do_not_count():
    """A BatchNorm with γ = 0 behind a filter: what only that filter reads may go."""
    network = zoo.build("chain")
    with torch.no_grad():
        network[2][1].weight[3:] = 0
        network[2][0].weight[:3, 9] = 0
    found = importance(trace(source_of(network)), Rebuild())["1.0"]
    assert int(found.argmin()) == 9
    assert float(found[9]) == pytest.approx(0, abs=1e-12)


def test_positions_share_a_score_in_every_block():
    model = traced("grouped")
    found = importance(model, Rebuild())
    for group in model.prunable:
        rows = found[group.name].reshape(group.partitions, -1)
        assert torch.equal(rows, rows[:1].expand_as(rows))


def test_a_reader_of_unknown_channels_goes_by_the_norm_of_its_weights(monkeypatch):
    network = zoo.build("flatten")
    monkeypatch.setattr(consumers, "propagate", lambda source: Propagation({}, ("1",)))
    found = importance(trace(source_of(network)), Rebuild())
    for group, layer, pixels in (("0.0", network[3], 16), ("3", network[5], 1)):
        weight = layer.weight.detach().double()
        each_output = weight / weight.norm(dim=1, keepdim=True)
        norms = each_output.reshape(len(weight), -1, pixels).square().sum((0, 2))
        torch.testing.assert_close(found[group], norms / len(weight))


def test_channels_that_no_layer_reads_go_by_the_norm_of_their_filters():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    model = trace(source_of(module))
    group = model.groups[0]
    alone = consumers._made_by(module, group.having("producer")[0], group)
    norms = filter_rows(module[0]).square().sum(1)
    torch.testing.assert_close(costs(alone), norms / norms.sum())


def test_moments_are_propagated_once(monkeypatch):
    runs = []

    def counted(source):
        runs.append(source)
        return Propagation({}, ())

    monkeypatch.setattr(consumers, "propagate", counted)
    importance(traced("residual"), Rebuild())
    assert len(runs) == 1


def test_a_large_ridge_trusts_no_other_channel():
    """λ → ∞: the squared norm of the weights that read each channel, in the consumer's units."""
    model = traced("no-norm")
    (_, (reader_,)), *_ = consumers_of(model, 1e6)
    one_by_one = reader_.gram.diagonal()
    torch.testing.assert_close(
        costs(reader_) / costs(reader_).sum(), one_by_one / one_by_one.sum(), rtol=1e-4, atol=0
    )
