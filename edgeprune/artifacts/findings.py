"""The sentence for each kind of finding that a stage hands over as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprune.artifacts.notes import Note

SHOWN = 3
"""So many names are written out."""


def sentence(note: Note) -> str:
    """The sentence for a finding.

    Raises:
        KeyError: If the kind has no row in :data:`SENTENCES`.
    """
    return SENTENCES[note.kind](note.values)


def as_text(notes: Sequence[Note]) -> str:
    """The sentences for several findings, in a row."""
    return "; ".join(map(sentence, notes))


def _compensated(values: dict[str, Any]) -> str:
    text, left_out = f"{values['layers']} layers compensated", values["left_out"]
    if left_out:
        names = ", ".join(left_out[:SHOWN]) + ("…" if len(left_out) > SHOWN else "")
        text += f", {len(left_out)} not ({values['because']}: {names})"
    return text


def _trained(values: dict[str, Any]) -> str:
    return (
        f"{values['steps']} steps on {values['images']} images {values['origin']}; validation loss "
        f"{values['loss_before']:.3g} → {values['loss_after']:.3g} at step {values['best_step']}"
    )


def _blocks_trained(values: dict[str, Any]) -> str:
    return (
        f"{values['trained']} of {values['blocks']} blocks trained, {values['steps']} steps in all "
        f"on {values['images']} images {values['origin']}; error on validation images "
        f"{values['error_before']:.3f} → {values['error_after']:.3f}"
    )


def _worse(values: dict[str, Any]) -> str:
    return (
        f"left the network further from the original than it was: error {values['before']:.3f} → "
        f"{values['after']:.3f} on {values['images']} other images {values['origin']}; "
        "--recover auto keeps the best"
    )


def _chosen(values: dict[str, Any]) -> str:
    errors = ", ".join(f"{name} {error:.3f}" for name, error in values["errors"].items())
    images = f"{values['images']} validation images {values['origin']}"
    return f"chose {values['method']}; error on {images}: {errors}"


SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "text": lambda values: str(values["text"]),
    "compensated": _compensated,
    "no-batch-norm": lambda _: "no BatchNorm to take moments from, only a prior of the input",
    "fitted": lambda values: (
        f"{values['layers']} layers fitted on {values['images']} images {values['origin']}"
    ),
    "trained": _trained,
    "blocks-trained": _blocks_trained,
    "worse": _worse,
    "nothing-to-compare": lambda _: "left as it was: no layer can be compared",
    "chosen": _chosen,
    "not-of-its-kind": lambda _: (
        "nothing was trained: these images are as far from what the network knows as noise is; "
        "--images DIR allows it"
    ),
}
