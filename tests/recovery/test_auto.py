"""Auto: of several methods the one that is nearest to the original on images held out."""

from dataclasses import dataclass, replace
from functools import cache, partial

import pytest
import torch
import zoo
from students import same
from torch import nn
from traced_zoo import (
    Calls,
    plan_without,
    random_plan,
    source_of,
    traced,
    traced_network,
    unchanged,
)

from edgeprune.artifacts import ImageKind, PruningPlan, part_of
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.quality import quality
from edgeprune.pruning import prune
from edgeprune.pruning.surgery import trial_plan
from edgeprune.recovery import auto as auto_module
from edgeprune.recovery.auto import Auto
from edgeprune.recovery.blockwise.blockwise import Blockwise
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.held_out import held_out_error
from edgeprune.recovery.layerwise.reconstruct import Reconstruct
from edgeprune.recovery.training.supervise import Supervise
from edgeprune.tracing import trace

IMAGES = torch.randn(25, 3, 16, 16, generator=torch.Generator().manual_seed(1))
REAL = Given((IMAGES,), "of a camera")
STEPS = 3  # of training: what it does is tested elsewhere
CLOSED = {"nm": NeuronMerging(), "lbyl": Lbyl(), "analytic": Analytic()}


@cache
def cut(name):
    return prune(traced(name), random_plan(traced(name), 6, most=0.8))


def choice_of(step):
    """The first note of a step: the choice, the images it was made on, errors by candidate."""
    note = step.notes[0]
    assert note.kind == "chosen"
    assert set(note.values) == {"method", "images", "origin", "errors"}
    return note.values


def candidates_by_hand(name, source):
    """Every candidate that the network and the images allow, with its error on the first images."""
    model, pruned = traced(name), cut(name)
    images = source(model.source, 25, 0)
    validation, fitting = (
        tuple(each[rows] for each in images) for rows in (slice(5), slice(5, None))
    )
    normed = any(isinstance(part, nn.BatchNorm2d) for part in model.source.module.modules())
    candidates = {"none": pruned}
    for candidate in ["analytic"] if normed else ["nm", "lbyl", "analytic"]:
        candidates[candidate] = CLOSED[candidate](model, pruned)
    if normed or not source.kind.synthetic:
        fit = Reconstruct(source=Given(fitting, kind=source.kind), images=20)
        candidates["reconstruct"] = fit(model, pruned)
    error = partial(held_out_error, model, inputs=validation, synthetic=source.kind.synthetic)
    errors = {candidate: error(made) for candidate, made in candidates.items()}
    known = not source.kind.synthetic or (normed and quality(model.source, images).of_its_kind)
    if "reconstruct" in candidates and known:
        for label, train in {
            "blockwise": Blockwise(source=fit.source, images=20, steps=STEPS, layerwise=False),
            "supervise": Supervise(source=fit.source, images=20, steps=STEPS),
        }.items():
            best = min(errors, key=errors.__getitem__)
            candidates[label] = train(model, candidates[best])
            errors[label] = error(candidates[label])
            if errors[label] > 0.98 * errors[best]:
                break
    return candidates, errors


@pytest.mark.parametrize("source", [DeadLeaves(), REAL], ids=["procedural", "real"])
@pytest.mark.parametrize("name", ["chain", "residual", "flatten", "chunk", "no-norm"])
def test_the_candidate_with_the_smallest_error_is_taken(name, source):
    candidates, errors = candidates_by_hand(name, source)
    with unchanged(traced(name).source.module), unchanged(cut(name).module):
        done = Auto(source=source, images=20, steps=STEPS)(traced(name), cut(name))
    (step,) = done.recovered_by
    best = min(errors, key=errors.__getitem__)
    choice = choice_of(step)
    assert step.method == f"auto:{best}"
    assert (choice["method"], choice["origin"]) == (best, source.origin)
    assert choice["images"] == 5
    assert list(choice["errors"]) == list(errors)
    assert choice["errors"] == pytest.approx(errors, abs=1e-9, rel=1e-6)
    assert same(candidates[best].module, done.module)
    assert errors[best] <= errors["none"]
    assert step.images == 5 + {"reconstruct": 20, "blockwise": 20, "supervise": 16}.get(best, 0)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_what_is_chosen_has_the_smallest_error_for_every_coupling(name):
    done = Auto(images=8, steps=STEPS)(traced(name), cut(name))
    errors = choice_of(done.recovered_by[-1])["errors"]
    chosen = done.recovered_by[-1].method.removeprefix("auto:")
    assert chosen == choice_of(done.recovered_by[-1])["method"]
    assert errors[chosen] == min(errors.values())


@dataclass(frozen=True)
class ByNumber:
    """Images by number, and what was asked for."""

    asked: list
    kind: ImageKind = ImageKind.REAL
    origin: str = "by number"

    def __call__(self, original, count, seed, progress=None):
        self.asked.append((count, seed))
        (leaves,) = DeadLeaves()(original, count, 0)
        return (torch.arange(count).float()[:, None, None, None] + leaves,)


@pytest.mark.parametrize(("images", "others"), [(20, 5), (9, 2), (3, 2), (1, 2)])
def test_validation_images_are_others(images, others, monkeypatch):
    fitted, validation, asked = [], [], []

    def constant_error(traced, pruned, inputs, *, synthetic):
        validation.append(inputs[0])
        return 1.0

    class Fit(Reconstruct):
        def __call__(self, traced, pruned, context=None):
            fitted.append(self.source(traced.source, self.images, 0)[0])
            return Analytic()(traced, pruned)

    monkeypatch.setattr(auto_module, "held_out_error", constant_error)
    monkeypatch.setattr(auto_module, "Reconstruct", Fit)
    monkeypatch.setattr(auto_module, "Blockwise", lambda *_, **__: Analytic())
    monkeypatch.setattr(auto_module, "Supervise", lambda *_: Analytic())
    method = Auto(source=ByNumber(asked), images=images, steps=STEPS)
    method(traced("chain"), cut("chain"), RecoveryContext(seed=7))
    assert asked == [(images + others, 7)]
    numbers = [each.flatten(1).mean(1) for each in (fitted[0], validation[0])]
    assert [len(each) for each in numbers] == [images, others]
    every = torch.cat(numbers)
    assert len(every.unique()) == images + others
    assert all(torch.equal(each, validation[0]) for each in validation)


@pytest.mark.parametrize(
    ("images", "validated", "fits"), [(1, 1, 0), (2, 2, 0), (3, 2, 1), (12, 2, 10)]
)
def test_few_images_validate_before_they_are_fitted_to(images, validated, fits):
    done = Auto(source=Given((IMAGES[:images],)), steps=STEPS)(traced("chain"), cut("chain"))
    (step,) = done.recovered_by
    choice = choice_of(step)
    assert choice["images"] == validated
    assert (
        list(choice["errors"])
        == [
            "none",
            "analytic",
            *(["reconstruct", "blockwise", "supervise"] if fits else []),
        ][: len(choice["errors"])]
    )
    assert ("blockwise" in choice["errors"]) == bool(fits)
    trained = fits - (fits // 5 if fits // 5 >= 2 else 0)
    assert step.images == validated + {
        "reconstruct": fits,
        "blockwise": fits,
        "supervise": trained,
    }.get(choice["method"], 0)


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_harmful_candidates_are_not_taken(value, monkeypatch):
    class Spoiling(Analytic):
        def __call__(self, traced, pruned, context=None):
            done = Analytic()(traced, pruned)
            with torch.no_grad():
                next(done.module.parameters()).fill_(value)
            return done

    monkeypatch.setattr(auto_module, "Analytic", Spoiling)
    monkeypatch.setattr(auto_module, "Reconstruct", lambda *_: Spoiling())
    monkeypatch.setattr(auto_module, "Blockwise", lambda *_, **__: Spoiling())
    monkeypatch.setattr(auto_module, "Supervise", lambda *_: Spoiling())
    done = Auto(images=8, steps=STEPS)(traced("chain"), cut("chain"))
    assert done.recovered_by[-1].method == "auto:none"
    assert done.recovered_by[-1].images == 2
    assert done.module is cut("chain").module


def test_nothing_is_trained_on_images_that_the_network_cannot_tell_from_noise():
    draw = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, 16).expand(64, 3, 16, 16)
    spectra = 30 * torch.randn(64, 3, 16, 16, generator=draw).cumsum(-1) - 80 + 60 * ramp
    model = traced_network(zoo.calibrated(zoo.build("chain"), spectra), zoo.INPUT_SHAPE)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    step = Auto(images=20, steps=STEPS)(model, pruned).recovered_by[-1]
    assert step.quality is not None
    assert not step.quality.of_its_kind
    assert list(choice_of(step)["errors"]) == ["none", "analytic", "reconstruct"]
    assert step.notes[1].kind == "not-of-its-kind"
    own = Auto(source=Given((spectra,), kind=ImageKind.REAL), images=20, steps=STEPS)
    assert "blockwise" in choice_of(own(model, pruned).recovered_by[-1])["errors"]


def test_where_nothing_was_pruned_none_is_best():
    model = traced("chain")
    pruned = prune(model, PruningPlan((), "0" * 64, {}))
    done = Auto(images=8, steps=STEPS)(model, pruned)
    assert done.recovered_by[-1].method == "auto:none"
    assert done.module is pruned.module


def test_earlier_steps_are_kept():
    first = NeuronMerging()(traced("chain"), cut("chain"))
    done = Auto(images=8, steps=STEPS)(traced("chain"), first)
    assert [step.method.split(":")[0] for step in done.recovered_by] == ["nm", "auto"]


def test_progress_is_of_the_whole():
    recorded = []
    context = RecoveryContext(progress=lambda *given: recorded.append(given))
    Auto(images=8, steps=STEPS)(traced("chain"), cut("chain"), context)
    shares = [share for share, _ in recorded]
    assert shares == sorted(shares)
    assert shares[0] == 0 < shares[1] < 0.5 < shares[-1] == 1
    assert "on two cores" in recorded[0][1]
    assert part_of(None, 1, 2) is None


def test_frozen_networks_are_recovered_too():
    model = trace(source_of(zoo.build("chain").requires_grad_(False)))
    done = Auto(images=8, steps=STEPS)(model, prune(model, random_plan(model, 0, most=0.8)))
    assert done.recovered_by[-1].method != "auto:none"
    assert not any(value.requires_grad for value in done.module.parameters())


def test_batch_norm_behind_a_pooling_needs_two_validation_images():
    network = nn.Sequential(
        *zoo.conv_bn(3, 8), nn.AdaptiveAvgPool2d(1), *zoo.conv_bn(8, 6, 1), nn.Conv2d(6, 4, 1)
    )
    model = traced_network(zoo.calibrated(network, IMAGES))
    done = Auto(images=4, steps=STEPS)(model, prune(model, plan_without(model, "0", {1, 2})))
    assert choice_of(done.recovered_by[-1])["images"] == 2


def test_the_user_s_network_without_batch_norm_is_fitted_on_real_images_only():
    shown = {}
    for source in (DeadLeaves(), replace(REAL, origin="real")):
        done = Auto(source=source, images=20, steps=STEPS)(traced("no-norm"), cut("no-norm"))
        shown[source.kind.synthetic] = list(choice_of(done.recovered_by[-1])["errors"])
    assert shown[True] == ["none", "nm", "lbyl", "analytic"]
    assert shown[False][:6] == ["none", "nm", "lbyl", "analytic", "reconstruct", "blockwise"]


@dataclass
class Answer:
    """What a network of the user's returns, of a class that only the user knows."""

    logits: torch.Tensor


@pytest.mark.parametrize("source", [DeadLeaves(), REAL], ids=["procedural", "real"])
def test_outputs_count_in_whatever_class_they_are_returned(source):
    network = zoo.build("no-norm")
    errors = []
    for wrapped in (lambda x: x, Answer):
        model = traced_network(
            Calls(lambda net, x, wrapped=wrapped: wrapped(net.body(x)), body=network)
        )
        done = Auto(source=source, images=8, steps=1)(model, prune(model, trial_plan(model)))
        errors.append(choice_of(done.recovered_by[-1])["errors"])
    assert errors[0] == errors[1]
    assert errors[0]["none"] > 0
