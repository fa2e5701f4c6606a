"""The questions of an auditor, answered from the verified evidence of a run folder.

They are those that NIST SP 800-226 ("Guidelines for Evaluating Differential Privacy Guarantees",
2025) would have one ask of a claim of differential privacy, in our own words. An answer consists of
points; each is *shown* (recomputed from the folder), *attested* (the word of those named), *not
shown*, or *not applicable*. Which of the first two it is follows from the receipt's lists, which
the verification has compared with the folder; no module here decides it.

* :mod:`.model`: what an answer is;
* :mod:`.source`: what the answers are made from;
* :mod:`.promise`, :mod:`.working`, :mod:`.machines`, :mod:`.people`, :mod:`.exposure`,
  :mod:`.proof`: the questions, by theme;
* :mod:`.document`: all of it as one JSON document.
"""

from __future__ import annotations

from collections.abc import Callable

from secure_fedsa.audit.answers import exposure, machines, people, promise, proof, working
from secure_fedsa.audit.answers.model import Answer
from secure_fedsa.audit.answers.source import Source

QUESTIONS: tuple[Callable[[Source], Answer], ...] = (
    promise.unit,
    promise.neighbours,
    promise.parameters,
    promise.over_time,
    people.trust,
    working.sensitivity,
    working.accountant,
    working.choices,
    machines.randomness,
    machines.side_channels,
    proof.evidence,
    proof.measured,
    proof.utility,
    people.small_groups,
    exposure.not_covered,
    exposure.custody,
)
"""All questions, in the order of the report."""


def answer(source: Source) -> tuple[Answer, ...]:
    """Return the answer to every question, in order."""
    return tuple(question(source) for question in QUESTIONS)
