"""What must a reader know of a study, beside its numbers? Sentences, from its recipes and from where its files come
from."""

from collections.abc import Mapping, Sequence
from typing import Any

from ltbv.report.names import printable
from ltbv.report.study.predictions import Origins
from ltbv.settings import OPTIMUM, Settings
from ltbv.store import Store


def published(store: Store, keys: Sequence[str]) -> list[str]:
    """Under which terms each method was trained, where that was not the common protocol for all: a sentence or none."""
    by_terms: dict[str, list[str]] = {}
    for recipe in map(store.recipe, keys):
        found = recipe.get("published")
        if not isinstance(found, dict) or not isinstance(found.get("stages"), dict):
            continue
        changed = "; ".join(f"{name}: {terms}" for name, terms in found["stages"].items() if terms)
        said = f"after {found.get('source')} ({changed or 'as under the common protocol'})"
        by_terms.setdefault(said, []).append(recipe["label"])
    each = [f"{', '.join(map(printable, labels))} {printable(said)}" for said, labels in by_terms.items()]
    return [f"Protocol: each method as published, {'. '.join(each)}."] if each else []


def at_optimum(settings: Settings) -> list[str]:
    """That heads were not trained epoch by epoch."""
    said = "each at its optimum, on all images at once (L-BFGS): no order of batches and no first weights vary"
    return [f"Heads: {said}."] if settings.optimiser == OPTIMUM else []


def of_backbone(backbone: str | None, backbones: Sequence[Mapping[str, Any]]) -> list[str]:
    """What no interval knows of features: what the backbone saw when it was trained."""
    if backbone is None:
        return []
    said = [backbone, *(one["about"] for one in backbones)]
    known = "" if all("trained on" in about for about in said) else "what the backbone was trained on is not said: "
    return [
        f"{known}where it saw the training images, their features are better than those of test images, the more so the"
        " larger the class; where it saw test images, errors are too small whatever the head."
    ]


def of_data(notes: Sequence[Any]) -> list[str]:
    """What was noted of the data themselves when they were read: images left out, counts that are not as published."""
    return [printable(note) for note in notes if isinstance(note, str)]


SEEN = {  # by what a recipe says
    "development": "dev: that many development images of each class beside the sample, which other methods do not see",
    "sees_test": "sees test: it adapts to the unlabelled test images, all at once, which other methods do not see",
}


def seen(store: Store, keys: list[str]) -> list[str]:
    """Which methods looked at more than their training images; `study` writes it into their recipes."""
    recipes = [store.recipe(key) for key in keys]
    labels = {name: [recipe["label"] for recipe in recipes if recipe.get(name)] for name in SEEN}
    return [f"{', '.join(labels[name])}: {said}." for name, said in SEEN.items() if labels[name]]


def left_out(number: int) -> list[str]:
    return [f"{number} methods of this study were left out, as asked."] if number else []


def origins(store: Store, methods: Mapping[str, Origins]) -> list[str]:
    """Cautions on where the files come from."""
    if store.known_as() is None:
        return [
            "this study was made by an ltbv that gave studies no identity: whether all its files belong together is"
            " not known."
        ]
    silent = [(label, run) for label, runs in methods.items() for run, said in runs.items() if said is None]
    if not silent:
        return []
    label, run = silent[0]
    return [
        f"{len(silent)} prediction files do not say where they come from (the first: run {run} of {label}); were they"
        " put there by hand?"
    ]
