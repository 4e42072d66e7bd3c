"""TracedModel → PrunedModel: score channels, meet a budget, cut, prove.

importance/     what channels are worth      surgery.py           a plan carried out and proved
budgets.py      what is asked                cutting.py           the cut, by kind of layer
pricing.py      what widths cost             dry_run.py           whether it runs, by shapes alone
scopes.py       who competes                 masking.py           the proof
allocation.py   the choice of widths         double_precision.py  how the proof computes
closing.py      and its last steps           absent_channels.py   how channels are masked
resizing.py     sizes of a recorded network  same_network.py      whether it is the original
plan_file.py    a plan as a file
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, TypedDict

from edgeprune.artifacts import PruningPlan
from edgeprune.deep_stack import with_room
from edgeprune.errors import VerificationFailed
from edgeprune.graph.solvable import solvable
from edgeprune.pruning import plan_file
from edgeprune.pruning.allocation import Allocated, Allocation, allocate
from edgeprune.pruning.budgets import BUDGETS, Budget, Macs, Params, Ratio, parse_budget
from edgeprune.pruning.importance import CRITERIA, importance
from edgeprune.pruning.importance.criterion import Criterion
from edgeprune.pruning.importance.norms import L2Norm
from edgeprune.pruning.importance.rebuild import Rebuild
from edgeprune.pruning.pricing import cost_model
from edgeprune.pruning.same_network import require_same
from edgeprune.pruning.scopes import SCOPES
from edgeprune.pruning.surgery import check_fits, failing_groups, prune, trial_plan

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.costs import Costs

__all__ = [
    "BUDGETS", "CRITERIA", "SCOPES", "Allocated", "Allocation", "Budget", "Criterion", "L2Norm",
    "Macs", "Params", "Planned", "Ratio", "Rebuild", "check_fits", "cost_model", "lock_failing",
    "parse_budget", "plan", "plan_file", "prune", "prune_to_budget", "reachable",
    "require_same",
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


@with_room
def plan(
    traced: TracedModel,
    costs: Costs,
    budget: Budget,
    *,
    criterion: Criterion = Rebuild(),  # noqa: B008 - frozen
    allocation: Allocation = Allocation(),  # noqa: B008 - frozen
    seed: int = 0,
) -> Planned:
    """Choose the channels that stay.

    Args:
        traced: The network with its groups.
        costs: Costs of the network.
        budget: What to reach.
        criterion: How channels are scored.
        allocation: How the budget is spread.
        seed: For criteria that draw.

    Returns:
        The plan, and what it reaches.

    Raises:
        ModelUnsupported: If no group may lose a channel, or the numbers are too extreme.
        BudgetUnreachable: Names the nearest that can be reached.
    """
    with solvable("the importance of channels", "--importance l1 solves nothing"):
        scores = importance(traced, criterion, seed=seed)
    allocated = allocate(cost_model(traced, costs), scores, budget, allocation)
    versions = {package: version(package) for package in PLANNED_BY}
    return Planned(PruningPlan(allocated.groups, traced.source.sha256, versions), allocated)


@with_room
def prune_to_budget(
    traced: TracedModel, costs: Costs, budget: Budget, **options: Unpack[PlanOptions]
) -> tuple[TracedModel, PrunedModel, Allocated]:
    """Plan and prune; a group that fails the proof is rolled back, locked, and planned around.

    Args:
        traced: The network with its groups.
        costs: Costs of the network.
        budget: What to reach.
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
        planned = plan(traced, costs, budget, **options)
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
