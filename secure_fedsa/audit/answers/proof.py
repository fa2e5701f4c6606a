"""On what the answers rest: evidence, a measurement from outside, and utility."""

from __future__ import annotations

from collections.abc import Sequence

from secure_fedsa.audit.answers.audit_result import AuditResult
from secure_fedsa.audit.answers.model import Answer, Point, at_least, bound, figure, listed
from secure_fedsa.audit.answers.promise import NONE_HERE, nothing_to_ask
from secure_fedsa.audit.answers.source import Source, agreed, summed_up
from secure_fedsa.messages import AGGREGATOR, STUDENT
from secure_fedsa.report import claims, wording
from secure_fedsa.report.receipt import FILE_NAME as RECEIPT_FILE

_NAMES_SHOWN = 12
ALARMED = "THE MEASURED LOSS DOES NOT FIT THE CLAIM"


def evidence(source: Source) -> Answer:
    """What was checked, and whose word the rest is."""
    asked = "What was checked, by whom, and whose word is the rest?"
    topic = "evidence behind a claim"
    verdict = source.verdict
    signers = tuple(signer.party for signer in verdict.signers)
    points = [
        source.claim(
            "file-hashes",
            "Recomputed from the folder alone, when this report was made.",
            figures=[figure(claim, claims.WORDS[claim]) for claim in verdict.recomputed],
            at=[(RECEIPT_FILE, "/payload")],
        ),
        *(
            source.claim(entry["claim"], claims.WORDS[entry["claim"]], at=source.word_in_receipt)
            for entry in verdict.attested
        ),
        source.claim(
            "signatures",
            "Who signed the receipt.",
            figures=[figure(signer.party, signer.key) for signer in verdict.signers],
            at=[(RECEIPT_FILE, "/signatures")],
        ),
    ]
    if verdict.bound_by_messages:
        points.append(
            source.claim(
                "signatures",
                "Whose word the receipt names without their signature under it: only their signed "
                "messages bind them.",
                figures=[figure(party.party, party.key) for party in verdict.bound_by_messages],
                at=[(RECEIPT_FILE, "/signatures")],
            )
        )
    points.append(_identities(source))
    text = (
        f"{len(verdict.recomputed)} claims were recomputed; {len(verdict.attested)} are the word "
        f"of those named. Receipt signed by {listed(signers, _NAMES_SHOWN)}."
    )
    return Answer("evidence", asked, topic, text, tuple(points))


def _identities(source: Source) -> Point:
    keys = agreed(*(f"parties.{name}.key" for name in sorted(source.agreement.parties)))
    if not source.verdict.identities_checked:
        return source.missing(
            "That the names stand for the institutions that you know: no key was compared with "
            "one from elsewhere. Somebody could have made up all of them.",
            how="Give --trust keys.toml with keys that the institutions told you themselves.",
            at=keys,
        )
    return source.claim(
        "signatures",
        "Each party's key is the one in your trust file. Whoever held those keys could sign "
        "anything together.",
        figures=[figure("trust file", source.trusted), figure("keys compared", len(keys))],
        at=keys,
    )


def measured(source: Source) -> Answer:
    """Whether the loss was measured from outside."""
    asked = "Does the code do what the formula says: was the loss measured from outside?"
    topic = "correct implementation; testing with planted records"
    if not source.private:
        return Answer("measured", asked, topic, NONE_HERE, nothing_to_ask())
    result = source.audit_result
    points = (
        _no_audit() if result is None else _audit(result),
        source.missing(
            "The noise of this run: without the records nobody can tell it from them, so it can "
            "only be tested on records that were planted.",
        ),
        source.missing(
            "That the software on the parties' machines does what its text says. Its tests and "
            "proofs are no part of a run folder.",
            how="SECURITY.md of the project names the tests of each property.",
            at=summed_up("/versions"),
        ),
    )
    text = "No measurement came with this run."
    if result is not None:
        text = f"By {result.file}: {_outcome(result)}"
    return Answer("measured", asked, topic, text, points)


def _outcome(result: AuditResult) -> str:
    if not result.passed:
        return f"{ALARMED}: {result.alarms[0]}."
    # No best of all: the largest of many bounds does not hold with the confidence of each.
    bounds = sorted(found.epsilon for found in result.bounds if found.epsilon is not None)
    if not bounds:
        return "no alarm, and no method gave a bound."
    claims = sorted(found.claim for found in result.bounds)
    text = (
        f"no alarm; lower bounds on epsilon {_range([at_least('', b).text for b in bounds])}, each "
        f"by itself with {result.confidence:.0%} confidence, where "
        f"{_range([bound('', claim).text for claim in claims])} is claimed."
    )
    if any(found.epsilon is not None and found.epsilon > found.claim for found in result.bounds):
        text += " A single one above its claim, as here, comes about by chance too."
    return text


def _range(values: Sequence[str]) -> str:
    return values[0] if values[0] == values[-1] else f"from {values[0]} to {values[-1]}"


def _audit(result: AuditResult) -> Point:
    """Return what an unsigned file says that was measured."""
    text = (
        "Lower bounds on epsilon by this agreement's numbers, measured on planted records. The "
        "file is no part of the run and nobody signed it; its code ran where it was made, not on "
        "the parties' machines. Bounds below the claim prove nothing; the file's own verdict says "
        "whether one is so far above that the claim is refuted."
    )
    if not result.passed:
        text = f"{ALARMED}: {'; '.join(result.alarms)}. {text}"
    figures = [
        figure("file", result.file),
        figure("SHA-256 of the file", result.sha256),
        figure("canaries at each teacher", result.canaries),
        figure("releases measured together", result.runs),
        bound("delta", result.delta),
        figure("confidence of each bound", result.confidence),
    ]
    for found in result.bounds:
        name = f"{found.teacher}, {found.method}: epsilon at least"
        if found.epsilon is None:
            figures.append(figure(name, None))
        else:
            figures.append(at_least(name, found.epsilon))
    for teacher, claim in {found.teacher: found.claim for found in result.bounds}.items():
        figures.append(bound(f"{teacher}: epsilon claimed", claim))
    return Point("attested", text, by=(f"whoever made {result.file}",), figures=tuple(figures))


def _no_audit() -> Point:
    return Point(
        "not shown",
        "A lower bound on epsilon from an empirical audit: no result accompanies the run.",
        how="`secure-fedsa audit DIR/agreement.toml --canaries 16000 --json > measured.json`, then "
        "this report with --audit-result measured.json.",
    )


def utility(source: Source) -> Answer:
    """How good the outcome is, and who says so."""
    asked = "How good is what came out, and who measured it?"
    topic = "utility and accuracy"
    aggregator, student = source.agreement.only(AGGREGATOR), source.agreement.only(STUDENT)
    known = wording.accuracies(source.summary)
    figures = [
        figure(wording.ACCURACY_NAMES[name], "no test data" if value is None else value)
        for name, value in known.items()
    ]
    points = (
        source.claim(
            "accuracy",
            f"Shares of test records classified rightly. They stand in the summary that "
            f"{aggregator} attests. It did not measure them: who has the student's test records "
            f"did, and {student} signs no receipt.",
            figures=figures,
            at=summed_up("/accuracy"),
        ),
        source.claim(
            "student-hash",
            f"The student in the folder is the one whose hash {student} signed, so that anybody "
            "with test records can measure it.",
            at=[
                ("student/network.safetensors", ""),
                ("student/architecture.json", ""),
                ("student/head.safetensors", ""),
            ],
        ),
        source.claim("student-training", claims.WORDS["student-training"], at=agreed("features")),
    )
    value = known["student"]
    text = "There was no test data."
    if value is not None:
        text = f"Test accuracy {value:.3f} by the word of {aggregator}, which did not measure it."
        best = wording.best_baseline(source.summary)
        if best is not None:
            text += f" The best baseline without teachers has {best[1]:.3f}."
    return Answer("utility", asked, topic, text, points)
