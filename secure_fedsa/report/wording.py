"""What a report says in words: one place, so that page and model card never differ."""

from __future__ import annotations

from typing import Any

from secure_fedsa.agreement import NOISY_RELEASE, PRIVATE_TRAINING, Agreement
from secure_fedsa.errors import counted
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.planning import unit_words
from secure_fedsa.report import claims
from secure_fedsa.report.markup import number, share
from secure_fedsa.report.notices import NO_DIFFERENTIAL_PRIVACY, notices
from secure_fedsa.report.summary import RunFacts

UNCHECKED = "consistent, identities not checked"
RECEIPT = (
    "The receipt (receipt.dsse.json) covers every other file of the run folder. It is signed by "
    "the aggregator, the key holder and every selected teacher; this software signs for a party "
    "only what agrees with that party's own records. The receipt has two lists; a party named in "
    "the second that did not sign the receipt is bound by its signed messages only."
)
OWN_EPSILON = (
    "The student's labelled records have an epsilon of their own in this run (summary.json, "
    "student_privacy). That they were used through noise alone is the student's word, and the "
    "records that accuracies were measured on are not covered."
)
OF_INSTITUTIONS = (
    "Whole institutions have an epsilon of their own for the opened sum of this run (summary.json, "
    "institution_privacy). It rests on masks, encryption and the members' word for their shares of "
    "noise, and adds up over runs in no ledger."
)
NO_SCORES = (
    "By agreement nobody has a score: every answer to the student's question is zero, so that none "
    "says anything of a single institution. Every teacher that was ready is selected."
)
OWN_PAGE = (
    "This page is itself one of the files that the receipt covers: it proves nothing about the "
    "run or about itself. `secure-fedsa verify` judges the folder. Without --trust the most "
    f'that it says is "{UNCHECKED}", because a folder alone cannot show whose keys it names; '
    "a run that was made up from beginning to end gets the same verdict."
)

ENCRYPTION_OFF = (
    "ENCRYPTION AND MASKS ARE OFF: this run summed the teachers' noisy signals in the open. "
    "Each teacher's signal and score can be read singly by others, and so can the student's "
    "query. Never run real data this way unless law or contract covers it."
)
SIMULATED_NOISE = (
    "SIMULATED NOISE: protects nobody. The noise came from a seed, so that anyone can subtract "
    "it. No differential privacy holds for this run, whatever epsilon it names. It is a test."
)
SELECTION_ATTESTED = (
    "That the selected teachers had the best scores is attested by the parties that signed "
    "the receipt: nobody else can work it out again."
)
NOBODY_LEFT_OUT = (
    "That nobody who was ready was left out is attested by the parties that signed the receipt."
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
TEST_RECORDS = (
    "The records that accuracies were measured on are NOT protected by differential privacy, "
    "neither by the teachers' epsilon nor by the student's."
)
STUDENT_TIMES = (
    "How long the student's machine computes grows with the number of its labelled records; the "
    "times in summary.json tell it, and no epsilon covers that."
)
NOT_COMPUTED = (
    "Baselines without teachers are not computed: they would be made of the student's labelled "
    "records without noise."
)
OWN = ("student", "student_network")
_NAMES_SHOWN = 24


def warnings(summary: dict[str, Any]) -> list[str]:
    """Return what nobody may miss about a run; empty for a protected one."""
    found = []
    if summary["simulated"]:
        found.append(SIMULATED_NOISE)
    if not summary["protection"]["dp"]:
        found.append(NO_DIFFERENTIAL_PRIVACY)
    if not summary["protection"]["he"]:
        rest = "Nothing" if summary["simulated"] else "Only the noise"
        found.append(f"{ENCRYPTION_OFF} {rest} protects the teachers' records.")
    return found


def accuracies(summary: dict[str, Any]) -> dict[str, float | None]:
    """Return every accuracy of a report, in its order; one that is not known is None.

    Baselines have none where the student's labelled records are protected.
    """
    known, names = summary["accuracy"], ACCURACY_NAMES
    return {name: known.get(name) for name in (OWN if "student_privacy" in summary else names)}


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


def whose_accuracies(facts: RunFacts) -> str:
    """Return whose word the accuracies are."""
    text = (
        f"All accuracies are attested by {facts.agreement.only(AGGREGATOR)}: the run folder does "
        "not hold what it takes to work them out again."
    )
    return text if facts.plan.student is None else f"{text} {NOT_COMPUTED} {TEST_RECORDS}"


def outcome(summary: dict[str, Any]) -> str:
    """Return in one sentence what was built from whom, and how good it is."""
    teachers = summary["teachers"]
    chosen = sum(bool(teacher["selected"]) for teacher in teachers)
    noisy = "noisy " if summary["route"] == NOISY_RELEASE else ""
    how = f"by the scores of their {noisy}saliency as the signers attest, "
    if "institution_privacy" in summary:
        how = "as all that were ready, whatever their signals say, "
    text = (
        f"Of {len(teachers)} teachers, {chosen} were selected, {how}"
        "and their sum is said to have helped build a student"
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
    return unit_words.agreed_unit(facts.agreement.promise)


def neighbours(facts: RunFacts) -> str:
    """Return the neighbour relation in words."""
    return unit_words.neighbours(facts.agreement.promise)


def privacy_statement(facts: RunFacts, summary: dict[str, Any]) -> str:
    """Return the claim, or why there is none."""
    if facts.agreement.privacy is None:
        return (
            "No differential privacy claim holds: the agreement has none. What single records "
            "the opened sum, the scores and the student give away is not bounded."
        )
    if summary["simulated"]:
        return (
            "No differential privacy claim holds: the noise was simulated. With fresh noise the "
            f"same run would spend epsilon {number(summary['epsilon'])} at delta "
            f"{number(summary['delta'])} at each teacher."
        )
    claim = (
        f"For each teacher, this run is differentially private with epsilon "
        f"{number(summary['epsilon'])} at delta {number(summary['delta'])}, for "
        f"{neighbours(facts)}"
    )
    if facts.agreement.route == PRIVATE_TRAINING:
        claim += (
            ", if the noise were exact: that of a training is floating-point. Its model was "
            "trained by DP-SGD before anything left it"
        )
    else:
        claim += ". The teacher adds all of this noise by itself before anything leaves it"
    return claim + (
        ", so this one bound holds against every coalition of all the other parties. "
        "That it drew this noise is the teacher's word: nobody else can work that out."
    )


def student_statement(facts: RunFacts, summary: dict[str, Any]) -> str:
    """Return what is claimed about the student's own labelled records, or that nothing is."""
    check = facts.plan.student
    if check is None:
        return (
            "The student's own labelled records are NOT protected by differential privacy: the "
            "query, the scores and the student itself are made from them without noise."
        )
    if summary["simulated"]:
        return (
            "No differential privacy claim holds for the student's own labelled records either: "
            "the run was a simulation."
        )
    promise, name = facts.agreement.student_promise, facts.agreement.only(STUDENT)
    return (
        "The student's own labelled records are protected by noise of their own: all that is told "
        f"of them is differentially private with epsilon {number(check.epsilon)} at delta "
        f"{number(check.delta)}, for {neighbours(facts)}. One noisy summary of them serves every "
        f"run under this agreement; the query comes from public probes. Under other agreements "
        f"further ones may follow, at most to epsilon {number(promise.budget)} in all. That "
        f"this is how they were used, and no use without it came before, is the word of {name}."
    )


def institution_statement(facts: RunFacts, summary: dict[str, Any]) -> str:
    """Return what the opened sum promises about one whole member; ask only where it does."""
    if summary["simulated"]:
        return (
            "No differential privacy claim holds for whole institutions either: the run was a "
            "simulation."
        )
    promise, selection = facts.agreement.institution_promise, facts.agreement.selection
    alone, colluding, all_others = facts.plan.institution
    others = counted(selection.max_colluding, "other member")
    becomes = "zero" if promise.neighbours == "member-to-zero" else "any other within the norm"
    return (
        "For one whole member the opened sum is differentially private, given the roster, with "
        f"epsilon {number(colluding.epsilon)} at delta {number(colluding.delta)}, for sums of the "
        f"same members in which its clipped signal becomes {becomes}. That is against everybody "
        f"who sees the sum, with up to {others}; without them it is "
        f"{number(alone.epsilon)}. It rests on masks and encryption, and on {colluding.shares} "
        "members that drew their shares of the noise, which is their word. Against all others "
        f"together it is {number(all_others.epsilon)}, from the member's own share alone: no "
        "promise worth the name. It is this run's: no ledger adds it up over runs. Not covered: "
        "that an institution takes part, the names of its classes, its ledger, that and when it "
        "sent something. Scores are zero for everybody, and no number of records is sent."
    )


def not_covered(facts: RunFacts, summary: dict[str, Any]) -> list[str]:
    """Return what the privacy claim leaves out."""
    limits = [
        TEST_RECORDS if facts.plan.student else student_statement(facts, summary),
        _of_institutions(facts.agreement),
        (
            "Epsilon is this run's. Earlier and later runs on the same data add up: across runs "
            "only the composition of differential privacy is claimed, in each teacher's ledger. "
            "A person with records at several teachers composes over them."
        ),
        SELECTION_ATTESTED if facts.agreement.institution_privacy is None else NOBODY_LEFT_OUT,
    ]
    limits += [STUDENT_TIMES] if facts.plan.student else []
    limits += [text for text in notices(facts.agreement) if text != NO_DIFFERENTIAL_PRIVACY]
    if facts.agreement.privacy is None:
        limits[2] = (
            "Nor does any hold across runs: two sums over the same teachers, one of whose models "
            "changed, or over nearly the same teachers, can tell what one of them sent; scores of "
            "many runs add up to a whole saliency. Only the refusals of honest key holders and "
            "teachers stand against some of that."
        )
        limits.insert(0, NO_DIFFERENTIAL_PRIVACY)
    elif facts.agreement.privacy.unit == "record":
        limits.insert(
            1, "The unit is one record: somebody with several records has a weaker bound."
        )
    if summary["engine"] == "in-process":
        limits.append(
            "All parties of this run were driven by one process on one machine. Its messages "
            "are those of separate parties, but nobody was kept from another party's memory."
        )
    return limits


def _of_institutions(agreement: Agreement) -> str:
    if agreement.institution_privacy is not None:
        return (
            "Facts about an institution as a whole are hidden as far as the opened sum goes, by "
            "its own epsilon above; not its part in the run, nor the names of its classes."
        )
    return (
        "Facts about an institution as a whole (its classes, their balance, what sets its "
        "records apart) are not hidden by differential privacy. " + _hidden(agreement)
    )


def _hidden(agreement: Agreement) -> str:
    if not agreement.protection.he:
        return "In this run nothing else hides them either."
    text = "Masks and encryption are against that, for single teachers' signals; "
    if agreement.publish.sums:
        return text + "the sum, the roster and the agreement stay visible."
    return (
        f"{text}the roster and the agreement stay visible, and the sum to the student and to "
        f"{custodian(agreement)}."
    )


def encryption_on(agreement: Agreement) -> str:
    """Return what encryption and masks are for in a run that has them, and whose word that is."""
    name = agreement.custodian
    text = "Encryption and masks are on. By agreement each teacher masks and encrypts its signal, "
    if agreement.custody == KEY_HOLDER:
        text += "the aggregator adds what it cannot read, and the key holder opens one sum. "
    else:
        text += (
            "and the aggregator, which also holds the feature key, opens the one sum that the key "
            "holder permits; masks are to keep single signals from it. "
        )
    return text + (
        f"That no other sum was opened is attested by {name}; that a teacher masked its signal "
        "before it encrypted it, the folder does not show."
    )


def what_was_summed(agreement: Agreement) -> str:
    """Return what one teacher's part of the sum is, in a sentence."""
    if agreement.answers is None:
        text = "The sum is of between-class scatter matrices in a public feature space"
        if agreement.institution_privacy is not None:
            text += ", each scaled down to a public norm and under its teacher's share of noise"
        return f"{text}."
    form = {
        "sketch": "secret random sketches of",
        "gram": "Gram matrices of",
        "scatter": "scatter matrices, in a public feature space, of",
    }[agreement.answers.form]
    return f"The sum is of {form} what the teachers' models say about the probes."


def custodian(agreement: Agreement) -> str:
    """Return who held the feature key, in words."""
    return "the " + agreement.custody.replace("-", " ")


def _both(agreement: Agreement) -> str:
    return f"{agreement.only(AGGREGATOR)} and {agreement.only(KEY_HOLDER)}"


def withheld(agreement: Agreement) -> list[str]:
    """Return what the agreement keeps out of the run folder, in words."""
    publish, found = agreement.publish, []
    if not publish.ciphertexts:
        found.append(
            "The uploads and their sum are not published; their signed hashes are. That the sum is "
            f"theirs is attested by {_both(agreement)}."
        )
    if not publish.sums:
        found.append(
            "The opened sum is not published: by agreement it goes to the student, sealed. The "
            "folder does not show who else saw it."
        )
    if agreement.protection.he and not publish.feature_key:
        found.append(
            "The one-use feature key is not published, so no reader can decrypt again. That it was "
            f"erased at the end is attested by {agreement.custodian}; the folder does not show who "
            "else had it."
        )
    if agreement.institution_privacy is not None:
        found.append(NO_SCORES)
    elif publish.scores == "none":
        found.append("Neither the scores nor their order are published.")
    elif publish.scores == "order":
        found.append("The order of the scores is published, the scores are not.")
    return found


def limits(
    *,
    identities_checked: bool,
    student_protected: bool = False,
    institutions_protected: bool = False,
) -> list[str]:
    """Return what a reader might take the verdict of a check for, and must not."""
    if identities_checked:
        who = (
            "Names stand for the keys in your trust file. Whoever held those keys could sign "
            "anything together."
        )
    else:
        who = (
            "No identity was checked: anybody can make up all keys and all data and sign such a "
            "folder. Use --trust with keys that you know from elsewhere."
        )
    return [
        who,
        "That a claim is attested says who is answerable for it, not that it is true.",
        (
            "Epsilon, where there is one, covers the teachers' records in this run. It does not "
            "cover the student's own records, and spends of other runs add to it."
        ),
        *([OWN_EPSILON] if student_protected else []),
        *([OF_INSTITUTIONS] if institutions_protected else []),
    ]


def recomputed(facts: RunFacts) -> list[str]:
    """Return what anybody can work out again from the run folder."""
    return [claims.WORDS[claim] for claim in claims.recomputed(facts.agreement)]


def attested(facts: RunFacts) -> list[tuple[str, str]]:
    """Return what a reader has to take somebody's word for, and whose."""
    members = facts.roster.members
    signers = claims.signers(facts.agreement, members)
    entries = claims.attested(facts.agreement, members, facts.charged)
    return [(claims.WORDS[entry["claim"]], carried_by(entry["by"], signers)) for entry in entries]


def carried_by(names: list[str], signers: tuple[str, ...], *, shown: int = _NAMES_SHOWN) -> str:
    """Return whose word a claim is, and whose signature does not stand under the receipt.

    >>> carried_by(["student"], ("aggregator",))
    'attested by student (student: by signed messages, not under the receipt)'
    """
    text = f"attested by {_listed(names, shown)}"
    others = [name for name in names if name not in signers]
    if not others:
        return text
    return f"{text} ({_listed(others, shown)}: by signed messages, not under the receipt)"


def _listed(names: list[str], shown: int) -> str:
    more = len(names) - shown
    text = ", ".join(names[:shown]) or "nobody"
    return f"{text} and {more} more whom the receipt names" if more > 0 else text


def _lower(name: str) -> str:
    return ACCURACY_NAMES[name].split(",", maxsplit=1)[0].lower()
