"""The model card: what the student is, how good, what protects whom, in Markdown."""

from __future__ import annotations

from typing import Any

from secure_fedsa.messages import STUDENT
from secure_fedsa.planning.promises import PLANNED
from secure_fedsa.report import wording
from secure_fedsa.report.markup import number, readable, share
from secure_fedsa.report.notices import NO_DIFFERENTIAL_PRIVACY
from secure_fedsa.report.summary import RunFacts

_SPECIAL = frozenset("\\`*_[]|~$!#")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_CLASSES_SHOWN = 12

_SNIPPET = """\
```python
import json
from pathlib import Path

from secure_fedsa.models.training import Student

folder = Path("student")
student = Student.from_bytes(
    json.loads((folder / "architecture.json").read_text()),
    (folder / "network.safetensors").read_bytes(),
)
# records: images uint8 (n, height, width[, channels]), or a table of numbers (n, columns)
classes = student.predict(records)  # int64 (n,), numbers of the student's classes
```"""


def model_card(facts: RunFacts, summary: dict[str, Any]) -> str:
    """Return the model card of a run's student as Markdown.

    Args:
        facts: The run.
        summary: What :func:`secure_fedsa.report.summary.summary_json` made of it.
    """
    parts = [
        "# Student of run " + facts.run_id[:12],
        *(_alarm(text) for text in wording.warnings(summary)),
        wording.outcome(summary),
        "## What it is",
        _what(facts, summary),
        "## Files",
        _FILES,
        "## Use",
        "The network works alone on raw records, without the encoder and the head:",
        _SNIPPET,
        "## Task and teachers",
        _task(facts, summary),
        "## Test accuracy",
        f"{_accuracy(summary)}\n\n{wording.whose_accuracies(facts)}",
        "## Data and privacy",
        _privacy(facts, summary),
        "## Encryption",
        _encryption(facts),
        "## What can be checked, and whose word the rest is",
        _trust(facts),
        "## Limits",
        _bullets([*wording.not_covered(facts, summary), *_limits(summary)]),
    ]
    return "\n\n".join(parts) + "\n"


_FILES = """\
| File | What it is |
|---|---|
| `network.safetensors` | weights of the student network |
| `architecture.json` | how to rebuild that network; the two suffice to use it on raw records |
| `head.safetensors` | the student's classifier over the public encoder |
| `encoder.safetensors` | the public encoder that all teachers used; goes with the head |"""


def plain(text: str) -> str:
    r"""Return somebody's text so that Markdown and HTML show it and do nothing else.

    >>> plain("[coats](x) <script>")
    '\\[coats\\](x) &lt;script&gt;'
    """
    return "".join(
        _ENTITIES.get(character, "\\" + character if character in _SPECIAL else character)
        for character in readable(text)
    )


def _alarm(text: str) -> str:
    # GitHub shows the first line as a red box; others show the second line's colour or bold.
    return f'> [!CAUTION]\n> **<span style="color:#c00">{text}</span>**'


def _bullets(texts: list[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _what(facts: RunFacts, summary: dict[str, Any]) -> str:
    chosen = sum(bool(teacher["selected"]) for teacher in summary["teachers"])
    own = "" if facts.plan.student is None else "one noisy summary of "
    return (
        f"By the word of {facts.agreement.only(STUDENT)}, a classifier made from one sum over "
        f"{chosen} teachers, from {own}the student's own few labelled records, and from unlabelled "
        f"public probes. {wording.what_was_summed(facts.agreement)} "
        "Teachers' tasks and labels differ from the student's. A compact network was then "
        "distilled from that classifier."
    )


def _task(facts: RunFacts, summary: dict[str, Any]) -> str:
    numbered = [f"{number} {plain(name)}" for number, name in enumerate(facts.class_names)]
    lines = [
        f"Agreement: {plain(facts.agreement.title)}.",
        "",
        "The student's classes: " + (", ".join(numbered[:_CLASSES_SHOWN]) or "not named") + ".",
        "",
        "| Teacher | Its own task | Selected |",
        "|---|---|---|",
    ]
    for teacher in summary["teachers"]:
        names = [plain(name) for name in teacher["task"][:_CLASSES_SHOWN]]
        more = len(teacher["task"]) - len(names)
        task = ", ".join(names) + (f" and {more} more" if more else "")
        lines.append(f"| {plain(teacher['id'])} | {task} | {_yes(teacher['selected'])} |")
    return "\n".join(lines)


def _accuracy(summary: dict[str, Any]) -> str:
    rows = [
        f"| {wording.ACCURACY_NAMES[name]} | {share(value)} | {wording.ACCURACY_MEANING[name]} |"
        for name, value in wording.accuracies(summary).items()
    ]
    return "\n".join(["| Model | Accuracy | What it is |", "|---|---|---|", *rows])


def _privacy(facts: RunFacts, summary: dict[str, Any]) -> str:
    whose = "the teachers'; the student's own labelled records are NOT protected"
    student = facts.plan.student
    if student is not None:
        whose = "the teachers'; of the student's labelled records by the epsilon below"
    if facts.agreement.privacy is None:
        table = f"| | |\n|---|---|\n| Differential privacy | **{NO_DIFFERENTIAL_PRIVACY}** |"
        return f"{wording.privacy_statement(facts, summary)}\n\n{table}"
    claim = "none: simulated noise" if summary["simulated"] else number(summary["epsilon"])
    rows = [
        ("Epsilon, each teacher, this run", claim),
        ("Delta", number(summary["delta"])),
        ("Unit", wording.unit(facts)),
        ("Neighbours", wording.neighbours(facts)),
        ("Accountant", summary["accountant"]),
        ("Whose records", whose),
    ]
    said = wording.privacy_statement(facts, summary)
    if student is not None:
        own = "none: simulated noise" if summary["simulated"] else number(student.epsilon)
        rows.append(("Epsilon, the student's labelled records", own))
        said = f"{said}\n\n{wording.student_statement(facts, summary)}"
    if facts.plan.institution:
        planned = next(one for one in facts.plan.institution if one.view == PLANNED)
        whole = "none: simulated noise" if summary["simulated"] else number(planned.epsilon)
        rows.append(("Epsilon, one whole member in the sum", whole))
        said = f"{said}\n\n{wording.institution_statement(facts, summary)}"
    table = "\n".join(
        ["| | |", "|---|---|", *(f"| {name} | {plain(value)} |" for name, value in rows)]
    )
    return f"{said}\n\n{table}"


def _encryption(facts: RunFacts) -> str:
    agreement = facts.agreement
    if not agreement.protection.he:
        return f"**{wording.ENCRYPTION_OFF}**"
    encryption = agreement.encryption
    return (
        f"{wording.encryption_on(agreement)} Sums: BFV, degree {encryption.poly_modulus_degree}, "
        f"plain modulus {encryption.plain_modulus}. Query: Paillier, "
        f"{encryption.query_modulus_bits} bits. By agreement the feature key is held by "
        f"{wording.custodian(agreement)}; the run folder does not show who else had it before "
        "the release."
    )


def _trust(facts: RunFacts) -> str:
    attested = [f"{plain(what)} *{plain(by)}*" for what, by in wording.attested(facts)]
    parts = [
        (
            f"{wording.RECEIPT} This card is covered too, and proves nothing by itself: "
            "`secure-fedsa verify` on the whole run folder does the checking. Without `--trust` "
            f'the most that it says is "{wording.UNCHECKED}".'
        ),
        "Anybody can recompute from the run folder:",
        _bullets(wording.recomputed(facts)),
        "Attested, that is, the word of those who are named:",
        _bullets(attested),
    ]
    if wording.withheld(facts.agreement):
        parts += ["By agreement the run folder leaves out:"]
        parts += [_bullets(wording.withheld(facts.agreement))]
    return "\n\n".join(parts)


def _limits(summary: dict[str, Any]) -> list[str]:
    found = [
        (
            "Trained for one task on the records described above; measured on at most one test "
            "set. Nothing is known about other data, shifts, or groups within the data."
        ),
    ]
    if any(value is None for value in wording.accuracies(summary).values()):
        found.insert(0, "Where the table says no test data, quality is unknown.")
    return found


def _yes(value: Any) -> str:
    return "yes" if value else "no"
