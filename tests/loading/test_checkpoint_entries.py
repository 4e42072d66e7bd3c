"""Which entry of a checkpoint is the network: averaged weights first, and the choice is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import zoo
from torch import nn

from edgeprune.errors import ModelRefused, UsageError
from edgeprune.loading import LoadOptions, load
from edgeprune.loading.checkpoint_entries import chosen_entry, is_averaged

FILE = Path("checkpoint.pt")
RAW, AVERAGED = {"weight": torch.zeros(2, 2)}, {"weight": torch.ones(2, 2)}


def chosen(checkpoint, asked=None):
    return chosen_entry(checkpoint, FILE, asked)


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"state_dict": RAW, "state_dict_ema": AVERAGED, "arch": "x"},
        {"epoch": 3, "model": RAW, "ema": AVERAGED, "updates": 5},
        {"model": RAW, "ema": {"module": AVERAGED, "updates": 7}},
        {"params": RAW, "params_ema": AVERAGED},
        {"model": RAW, "swa_state_dict": AVERAGED},
        {"model": RAW, "averaged_model": AVERAGED},
        {"model": {"net": RAW, "ema": AVERAGED}},
    ],
)
def test_averaged_weights_are_taken_and_said(checkpoint):
    found = chosen(checkpoint)
    assert found.content is AVERAGED
    (note,) = found.notes
    assert "averaged" in note
    assert f"'{found.path}'" in note
    other = note.partition("--entry ")[2].partition(" ")[0]
    assert chosen(checkpoint, other).content is RAW


def test_mmengine_puts_the_averaged_weights_under_the_usual_name():
    meta = {"mmengine_version": "0.10", "epoch": 3}
    swapped = {"meta": meta, "state_dict": AVERAGED, "ema_state_dict": RAW}
    assert chosen(swapped).content is AVERAGED


def test_entries_with_one_path_are_told_apart():
    meta = {"mmengine_version": "0.10"}
    again = {"weight": RAW["weight"].clone()}
    twice = {"meta": meta, "model.ema": RAW, "model": {"ema": again}, "state_dict": AVERAGED}
    assert chosen(twice).content is AVERAGED


def test_another_average_is_not_offered_as_the_raw_weights():
    (note,) = chosen({"ema": AVERAGED, "swa": RAW, "model": RAW}).notes
    assert note.endswith("; --entry model takes the others")
    (note,) = chosen({"ema": AVERAGED, "swa": RAW}).notes
    assert note == "the averaged weights under 'ema' are taken"


def test_raw_weights_beside_unreadable_averages_are_said():
    shadow = {"decay": 0.99, "shadow_params": [torch.ones(2, 2)]}
    (note,) = chosen({"model": RAW, "ema": shadow}).notes
    assert "raw weights under 'model'" in note
    assert "'ema'" in note


@pytest.mark.parametrize("empty", [None, 0.999, True])
def test_an_empty_entry_for_averages_is_no_choice(empty):
    found = chosen({"model": RAW, "ema": empty, "optimizer": {"state": {0: RAW}}})
    assert (found.content, found.notes) == (RAW, ())


@pytest.mark.parametrize("name", ["schema", "state_dict", "emanuel", "semantic", "swamp"])
def test_words_that_only_contain_the_letters_say_nothing(name):
    assert not is_averaged(name)


def test_the_only_entry_counts_whatever_its_name():
    assert chosen({"epoch": 3, "student": RAW, "optimizer": {"state": RAW}}).content is RAW


def test_several_entries_are_asked_about():
    checkpoint = {"student": RAW, "teacher": AVERAGED}
    with pytest.raises(UsageError, match=r"'student' and 'teacher': choose one with --entry"):
        chosen(checkpoint)
    assert chosen(checkpoint, "teacher").content is AVERAGED


def test_plain_values_between_the_tensors_do_not_hide_them():
    found = chosen({**RAW, "epoch": 3, "arch": "x", "0._extra_state": {"a": 1}})
    assert "weight" in found.content


@pytest.mark.parametrize("loaded", [{}, {"a": 1}, [RAW], {"optimizer": {"state": RAW}}, 3])
def test_what_holds_no_network_is_refused(loaded):
    with pytest.raises(ModelRefused, match="neither a network nor its weights"):
        chosen(loaded)


def test_a_whole_averaged_network_is_loaded(tmp_path):
    raw, averaged = (zoo.build("chain") for _ in range(2))
    with torch.no_grad():
        next(averaged.parameters()).add_(1)
    torch.save({"model": raw, "ema": averaged, "updates": 3}, tmp_path / "yolo.pt")
    options = LoadOptions(input_shapes=(zoo.INPUT_SHAPE,))
    source = load(tmp_path / "yolo.pt", options)
    assert torch.equal(next(source.module.parameters()), next(averaged.parameters()))
    assert any("'ema'" in note for note in source.notes)
    other = load(tmp_path / "yolo.pt", LoadOptions(entry="model", **shape()))
    assert torch.equal(next(other.module.parameters()), next(raw.parameters()))
    with pytest.raises(UsageError, match="no entry 'gone'"):
        load(tmp_path / "yolo.pt", LoadOptions(entry="gone", **shape()))


def shape():
    return {"input_shapes": (zoo.INPUT_SHAPE,)}


def test_the_network_may_be_any_module():
    network = nn.Linear(2, 2)
    assert chosen({"net": network, "epoch": 1}).content is network
