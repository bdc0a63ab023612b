"""What does the report ask? A file a question; TOPICS is the order in which everything shows them.

A new topic is one file and one line here: its tables are then in tables/ and in report.json, its sheets in Markdown,
LaTeX and on the page, its figures in figures/ and on the page (under its question), its cautions below the verdicts.
"""

from collections.abc import Iterator
from dataclasses import replace

from ltbv.report.evidence import Evidence
from ltbv.report.questions import QUESTIONS
from ltbv.report.sheet import Sheet
from ltbv.report.topic import Drawing, Looks, Tables
from ltbv.report.topics import (
    additions,
    backbones,
    confusion_flow,
    cost,
    differences,
    diversity,
    every_class,
    experts_asked,
    hardest_negatives,
    head,
    identity,
    lost_classes,
    nine_claims,
    number_of_experts,
    other_scores,
    probability_losses,
    published,
    splits,
    tail,
    training,
)

TOPICS = (
    splits.TOPIC,
    differences.TOPIC,
    tail.TOPIC,
    head.TOPIC,
    every_class.TOPIC,
    nine_claims.TOPIC,
    identity.TOPIC,
    hardest_negatives.TOPIC,
    confusion_flow.TOPIC,
    cost.TOPIC,
    experts_asked.TOPIC,
    additions.TOPIC,
    number_of_experts.TOPIC,
    lost_classes.TOPIC,
    training.TOPIC,
    other_scores.TOPIC,
    probability_losses.TOPIC,
    diversity.TOPIC,
    backbones.TOPIC,
    published.TOPIC,
)


def printed(tables: Tables, evidence: Evidence) -> list[Sheet]:
    """All sheets that have rows; those for looking up last."""
    found = []
    for topic in TOPICS:
        for name, makers in topic.sheets.items():
            for make in makers if len(tables.named[name]) else ():
                made = make(tables, evidence)
                sheets = [made] if isinstance(made, Sheet) else made
                found += [replace(sheet, question=topic.question, table=name) for sheet in sheets]
    return sorted((sheet for sheet in found if sheet.rows), key=lambda sheet: sheet.long)


def drawn(tables: Tables, evidence: Evidence, looks: Looks) -> Iterator[Drawing]:
    """All figures that have something to show, one after the other: each is large."""
    for topic in TOPICS:
        for name, draw in topic.figures.items():
            if len(tables.named[name]) and (drawing := draw(tables, evidence, looks)) is not None:
                yield replace(drawing, question=topic.question, leads=topic.leads)


def answered(tables: Tables, evidence: Evidence) -> dict[str, str]:
    """What the topics of each question answer to it."""
    found: dict[str, list[str]] = {question: [] for question in QUESTIONS}
    for topic in TOPICS:
        found[topic.question].append(topic.answer(tables, evidence))
    return {question: " ".join(filter(None, said)) for question, said in found.items()}
