"""What a report says in words: one place, so that page and model card never differ."""

from __future__ import annotations

from typing import Any

from secure_fedsa.report.markup import number, share
from secure_fedsa.report.summary import RunFacts

NO_RECEIPT = "A receipt that others can verify is not part of this version."

ENCRYPTION_OFF = (
    "ENCRYPTION AND MASKS ARE OFF: this run summed the teachers' noisy signals in the open. "
    "Each teacher's signal and score can be read singly by others, and so can the student's "
    "query. Never run real data this way unless law or contract covers it."
)
SIMULATED_NOISE = (
    "SIMULATED NOISE: protects nobody. The noise came from a seed, so that anyone can subtract "
    "it. No differential privacy holds for this run, whatever epsilon it names. It is a test."
)
ENCRYPTION_ON = (
    "Encryption and masks are on. The aggregator added encrypted, masked signals; "
    "the key holder opened one sum; no message showed a single teacher's signal."
)

ACCURACY_NAMES = {
    "student": "Student (with the public encoder)",
    "student_network": "Student network (alone, raw records)",
    "self_training": "Self-training, no teachers",
    "public_encoder": "Public encoder, no teachers",
    "scratch": "From scratch, no teachers",
}
ACCURACY_MEANING = {
    "student": "the amalgamated classifier: the opened sum, the few labels and the probes",
    "student_network": "a compact network distilled from the student",
    "self_training": "the same network, taught by its own guesses for the probes",
    "public_encoder": "the same head and probes, without the teachers' sum",
    "scratch": "the same network on the student's few labels only",
}
OWN = ("student", "student_network")


def warnings(summary: dict[str, Any]) -> list[str]:
    """Return what nobody may miss about a run; empty for a protected one."""
    found = []
    if summary["simulated"]:
        found.append(SIMULATED_NOISE)
    if not summary["protection"]["he"]:
        rest = "Nothing" if summary["simulated"] else "Only the noise"
        found.append(f"{ENCRYPTION_OFF} {rest} protects the teachers' records.")
    return found


def accuracies(summary: dict[str, Any]) -> dict[str, float | None]:
    """Return every accuracy of a report, in its order; one that is not known is None."""
    known = summary["accuracy"]
    return {name: known.get(name) for name in ACCURACY_NAMES}


def best_baseline(summary: dict[str, Any]) -> tuple[str, float] | None:
    """Return the best baseline that needs no teacher, or None if none was measured."""
    values = {
        name: value
        for name, value in accuracies(summary).items()
        if name not in OWN and value is not None
    }
    if not values:
        return None
    best = max(values, key=lambda name: values[name])
    return best, values[best]


def outcome(summary: dict[str, Any]) -> str:
    """Return in one sentence what was built from whom, and how good it is."""
    teachers = summary["teachers"]
    chosen = sum(bool(teacher["selected"]) for teacher in teachers)
    text = (
        f"Of {len(teachers)} teachers, {chosen} were selected by the scores of their noisy "
        "saliency, and their sum helped build a student"
    )
    student, best = summary["accuracy"].get("student"), best_baseline(summary)
    if student is None:
        return text + "; there was no test data to measure it with."
    text += f" with a test accuracy of {share(student)}"
    if best is None:
        return text + "."
    name, value = best
    return text + f", where the best baseline without teachers ({_lower(name)}) has {share(value)}."


def unit(facts: RunFacts) -> str:
    """Return the privacy unit in words."""
    privacy = facts.agreement.privacy
    if privacy.unit == "record":
        return "one record"
    return f"one person with up to {privacy.max_records} records"


def neighbours(facts: RunFacts) -> str:
    """Return the neighbour relation in words."""
    if facts.agreement.privacy.neighbours == "add-remove":
        return f"data sets that differ by adding or removing {unit(facts)}"
    return f"data sets that differ by replacing {unit(facts)}"


def privacy_statement(facts: RunFacts, summary: dict[str, Any]) -> str:
    """Return the claim, or why there is none."""
    if summary["simulated"]:
        return (
            "No differential privacy claim holds: the noise was simulated. With fresh noise the "
            f"same run would spend epsilon {number(summary['epsilon'])} at delta "
            f"{number(summary['delta'])} at each teacher."
        )
    return (
        f"For each teacher, this run is differentially private with epsilon "
        f"{number(summary['epsilon'])} at delta {number(summary['delta'])}, for "
        f"{neighbours(facts)}. The teacher adds all of this noise by itself before anything "
        "leaves it, so this one bound holds against every coalition of all the other parties."
    )


def not_covered(facts: RunFacts, summary: dict[str, Any]) -> list[str]:
    """Return what the privacy claim leaves out."""
    limits = [
        (
            "The student's own labelled records are NOT protected by differential privacy: the "
            "query, the scores and the student itself are made from them without noise."
        ),
        "Facts about an institution as a whole (its classes, their balance, what sets its "
        "records apart) are not hidden by differential privacy. "
        + (
            "Masks and encryption hide single teachers' signals; the sum, the roster and the "
            "agreement stay visible."
            if summary["protection"]["he"]
            else "In this run nothing else hides them either."
        ),
        (
            "Epsilon is this run's. Earlier and later runs on the same data add up: across runs "
            "only the composition of differential privacy is claimed, in each teacher's ledger. "
            "A person with records at several teachers composes over them."
        ),
        "Who was selected is attested by the parties that signed, not verifiable by others.",
    ]
    if facts.agreement.privacy.unit == "record":
        limits.insert(
            1, "The unit is one record: somebody with several records has a weaker bound."
        )
    if summary["engine"] == "in-process":
        limits.append(
            "All parties of this run were driven by one process on one machine. Its messages "
            "are those of separate parties, but nobody was kept from another party's memory."
        )
    return limits


def attested(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a reader of the run folder has to take somebody's word for."""
    return [
        ("Scores and the selection", "the teachers, the aggregator and the key holder together"),
        ("That fresh noise was drawn, and that it is the agreed noise", "each teacher"),
        ("That the records are real, and that they are what the ledger says", "each teacher"),
        ("That nothing else was decrypted, and that keys were erased", "the key holder"),
        ("That noisy signals and per-run secrets were erased", "each party"),
        ("That the student was built from the opened sum", "the student"),
        ("All accuracies" + (" (demo)" if _is_demo(summary) else ""), "the student"),
        ("Wall times, versions and this page", "whoever ran the software"),
    ]


def recomputable(facts: RunFacts) -> list[str]:
    """Return what the files of the run folder suffice to work out again."""
    agreement = facts.agreement
    found = [
        (
            "signatures of the agreement and of all messages, and the run id from agreement and "
            "nonces (whose keys these are, the folder alone cannot show)"
        ),
        "epsilon from the agreement's noise, and each teacher's charge in its ledger segment",
        "the roster's size against the agreed minimum, and that every member signed it",
        "the student's hash in its result message, from student/",
    ]
    if agreement.protection.he:
        found.append("the homomorphic sum, from the uploaded ciphertexts")
        found.append(
            "the opened sum, from the sum's ciphertext and the published one-use key"
            if agreement.publish.feature_key
            else "not the opened sum: the agreement keeps the one-use key"
        )
    else:
        found.append("the sum, from the uploads, which are in the open")
    return found


def _is_demo(summary: dict[str, Any]) -> bool:
    return any(teacher["kind"] is not None for teacher in summary["teachers"])


def _lower(name: str) -> str:
    return ACCURACY_NAMES[name].split(",", maxsplit=1)[0].lower()
