"""TracedModel → PrunedModel: score channels, meet a budget, cut, prove.

importance/     what channels are worth      surgery.py           a plan carried out and proved
sensitivity/    what the network loses       cutting.py           the cut, by kind of layer
budgets.py      what is asked                dry_run.py           whether it runs, by shapes alone
pricing.py      what widths cost             masking.py           the proof
scopes.py       who competes                 double_precision.py  how the proof computes
allocation.py   the choice of widths         absent_channels.py   how channels are masked
closing.py      and its last steps           resizing.py          sizes of a recorded network
spending.py     widths from curves           same_network.py      whether it is the original
ranking.py      channels at a width          plan_file.py         a plan as a file
by_sensitivity.py    curves, half of the cuts, curves again, the other half
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, TypedDict

from edgeprune.artifacts import PruningPlan, Sensitivity
from edgeprune.deep_stack import with_room
from edgeprune.errors import VerificationFailed
from edgeprune.graph.solvable import solvable
from edgeprune.images.procedural import DeadLeaves
from edgeprune.pruning import plan_file
from edgeprune.pruning.allocation import Allocated, Allocation, allocate, require_reachable
from edgeprune.pruning.budgets import BUDGETS, Budget, Macs, Params, Ratio, parse_budget
from edgeprune.pruning.by_sensitivity import allocate_by_sensitivity
from edgeprune.pruning.importance import CRITERIA, Contenders, criterion_name, importance
from edgeprune.pruning.importance.criterion import Criterion
from edgeprune.pruning.importance.norms import L2Norm
from edgeprune.pruning.importance.rebuild import Rebuild
from edgeprune.pruning.pricing import cost_model
from edgeprune.pruning.same_network import require_same
from edgeprune.pruning.scopes import SCOPES
from edgeprune.pruning.sensitivity import Curves, Ranking, images_for, prepared
from edgeprune.pruning.surgery import check_fits, failing_groups, prune, trial_plan

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from edgeprune.artifacts import Progress, PrunedModel, TracedModel
    from edgeprune.costs import Costs
    from edgeprune.images.source import ImageSource

__all__ = [
    "BUDGETS", "CRITERIA", "SCOPES", "Allocated", "Allocation", "Budget", "Contenders",
    "Criterion", "L2Norm", "Macs", "Params", "Planned", "Ratio", "Rebuild", "Watched",
    "check_fits", "cost_model", "lock_failing", "parse_budget", "plan", "plan_file", "prune",
    "prune_to_budget", "reachable", "require_same", "sensitivity_of",
]  # fmt: skip

PLANNED_BY = ("edgeprune", "torch")


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and how close it comes to its budget.

    Attributes:
        plan: Which channels stay.
        allocated: Asked and reached.
    """

    plan: PruningPlan
    allocated: Allocated


@with_room
def lock_failing(traced: TracedModel) -> TracedModel:
    """Try surgery on every prunable group, and lock those that do not pass the proof."""
    return traced.with_locks(failing_groups(traced, trial_plan(traced)))


class PlanOptions(TypedDict, total=False):
    """How channels are chosen: ``criterion`` scores, ``allocation`` spreads, ``seed`` draws."""

    criterion: Criterion
    allocation: Allocation
    seed: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What curves are measured on, and who watches.

    Attributes:
        source: Where images are from.
        progress: Callback for the share done; None: nobody watches.
    """

    source: ImageSource = DeadLeaves()  # noqa: RUF009 - frozen
    progress: Progress | None = None


@with_room
def plan(
    traced: TracedModel,
    costs: Costs,
    budget: Budget,
    *,
    watched: Watched = Watched(),
    **options: Unpack[PlanOptions],
) -> Planned:
    """Choose the channels that stay.

    Args:
        traced: The network with its groups.
        costs: Costs of the network.
        budget: What to reach.
        watched: What curves are measured on, where widths are chosen by them.
        **options: ``criterion``: how channels are scored; ``allocation``: how the budget is
            spread; ``seed``: for criteria that draw, and of images.

    Returns:
        The plan, and what it reaches.

    Raises:
        ModelUnsupported: If no group may lose a channel, or the numbers are too extreme.
        BudgetUnreachable: Names the nearest that can be reached.
    """
    criterion = options.get("criterion", Rebuild())
    allocation, seed = options.get("allocation", Allocation()), options.get("seed", 0)
    model = cost_model(traced, costs)
    require_reachable(model, budget, replace(allocation, block=0))
    with solvable("the importance of channels", "--importance l1 solves nothing"):
        curves = None
        if allocation.scope == "sensitivity":
            curves = _curves(traced, costs, allocation, watched, seed)
        if curves is None:
            scores = importance(traced, criterion, seed=seed)
            allocated = allocate(model, scores, budget, allocation)
        else:
            rankings = _rankings(traced, criterion, seed)
            allocated = allocate_by_sensitivity(
                model, curves, rankings, budget, allocation, watched.progress
            )
    versions = {package: version(package) for package in PLANNED_BY}
    return Planned(PruningPlan(allocated.groups, traced.source.sha256, versions), allocated)


@with_room
def sensitivity_of(
    traced: TracedModel,
    costs: Costs,
    *,
    watched: Watched = Watched(),
    **options: Unpack[PlanOptions],
) -> Sensitivity | None:
    """What the network loses with channels of each group, all others whole.

    Args:
        traced: The network with its groups.
        costs: Costs of the network.
        watched: What curves are measured on.
        **options: As for :func:`plan`.

    Returns:
        None where it cannot be measured: there is neither a BatchNorm nor an image of the user's,
        the network takes one input at a time, or it is too large.
    """
    allocation, seed = options.get("allocation", Allocation()), options.get("seed", 0)
    curves = _curves(traced, costs, allocation, watched, seed) if traced.prunable else None
    if curves is None:
        return None
    rankings = _rankings(traced, options.get("criterion", Rebuild()), seed)
    by_group = {group.name: rankings for group in traced.prunable}
    found = tuple(curves.measured(by_group, {}, watched.progress).values())
    return Sensitivity(found, curves.images, curves.origin)


def _curves(
    traced: TracedModel, costs: Costs, allocation: Allocation, watched: Watched, seed: int
) -> Curves | None:
    count = images_for(traced, costs)
    return prepared(traced, count, allocation.widths, watched.source, seed)


def _rankings(traced: TracedModel, criterion: Criterion, seed: int) -> list[Ranking]:
    """Every ranking that competes for groups."""
    criteria = criterion.criteria if isinstance(criterion, Contenders) else (criterion,)
    return [Ranking(criterion_name(each), importance(traced, each, seed=seed)) for each in criteria]


@with_room
def prune_to_budget(
    traced: TracedModel,
    costs: Costs,
    budget: Budget,
    *,
    watched: Watched = Watched(),
    **options: Unpack[PlanOptions],
) -> tuple[TracedModel, PrunedModel, Allocated]:
    """Plan and prune; a group that fails the proof is rolled back, locked, and planned around.

    Args:
        traced: The network with its groups.
        costs: Costs of the network.
        budget: What to reach.
        watched: As for :func:`plan`.
        **options: As for :func:`plan`.

    Returns:
        The network with what had to be locked, the pruned network whose proof names what was
        rolled back, and what the budget came to.

    Raises:
        ModelUnsupported: If no group may lose a channel.
        BudgetUnreachable: Names the nearest that can be reached.
        VerificationFailed: If surgery fails and no group is to blame.
    """
    rolled_back: dict[str, str] = {}
    while True:
        planned = plan(traced, costs, budget, watched=watched, **options)
        try:
            pruned = prune(traced, planned.plan)
        except VerificationFailed:
            failing = failing_groups(traced, planned.plan)
            if not failing:
                raise
            rolled_back |= failing
            traced = traced.with_locks(failing)
        else:
            proof = replace(pruned.surgery, rolled_back=rolled_back)
            return traced, replace(pruned, surgery=proof), planned.allocated


def reachable(traced: TracedModel, costs: Costs, allocation: Allocation) -> dict[str, float]:
    """The least share of each budget's figure that any plan can reach."""
    model = cost_model(traced, costs)
    narrowest = allocation.narrowest(model.groups)
    return {
        quantity: float(model.at(quantity, narrowest)) / model.original(quantity)
        for quantity in ("macs", "params")
    }
