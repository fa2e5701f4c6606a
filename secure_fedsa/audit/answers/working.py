"""How the promise is kept: sensitivity, accountant, choices, randomness, side channels."""

from __future__ import annotations

from collections import Counter
from typing import Any

from secure_fedsa.agreement import ENCRYPTION_ONLY, NOISY_RELEASE, PRIVATE_TRAINING
from secure_fedsa.audit.answers.model import Answer, Figure, Point, bound, figure
from secure_fedsa.audit.answers.promise import NONE_HERE, nothing_to_ask
from secure_fedsa.audit.answers.source import Source, agreed, summed_up
from secure_fedsa.audit.layout import sender_and_kind
from secure_fedsa.privacy.cross_check import CrossCheck
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining
from secure_fedsa.privacy.mechanisms import count_unit
from secure_fedsa.report.notices import FLOATING_POINT, OWN_CODE

_CHOICES = ("encoder", "privacy", "training", "answers", "saliency", "features", "selection")


def sensitivity(source: Source) -> Answer:
    """How far one unit can move what is released."""
    asked = "How far can one unit move what is released, and who proves it?"
    topic = "sensitivity, and bounding what a unit contributes"
    if not source.private:
        return Answer("sensitivity", asked, topic, NONE_HERE, nothing_to_ask())
    if source.agreement.route == NOISY_RELEASE:
        return Answer("sensitivity", asked, topic, _SUMMARIES, _of_summaries(source))
    return Answer("sensitivity", asked, topic, _GRADIENTS, _of_gradients(source))


_SUMMARIES = (
    "The sensitivity follows from agreed numbers and is recomputed; that records were clipped so "
    "is each teacher's word."
)
_GRADIENTS = (
    "One record moves a step of training by at most the clip norm; that gradients were clipped so "
    "is each teacher's word."
)


def _of_summaries(source: Source) -> tuple[Point, ...]:
    mechanism, event = source.agreement.mechanism, source.worst_event
    assert isinstance(event, DiscreteGaussianRelease)
    unit = count_unit(mechanism.grid, mechanism.count_weight)
    return (
        source.claim(
            "ledger-segments",
            "Each ledger was charged for exactly the sensitivity and the noise that the agreed "
            "numbers give: a record adds a vector of length at most S to one class and W to its "
            "count, S the grid and W the unit of a count. The formula and its derivation: "
            "protocols/v1/derivations.md, section 2.",
            figures=[
                figure("S, grid units of one clip norm", mechanism.grid),
                figure("W, grid units of one record in a count", unit),
                figure("m, records of a unit", mechanism.max_records),
                figure("L2 sensitivity, grid units", event.sensitivity),
                figure("noise scale, grid units", event.noise_scale),
                figure("noise scale over sensitivity", event.noise_scale / event.sensitivity),
            ],
            at=[
                *agreed("privacy.grid", "privacy.count_weight", "privacy.noise_multiplier"),
                *(source.place_of(teacher, "/body/events/0") for teacher in source.charges),
            ],
        ),
        source.claim(
            "private-summary",
            "That each record was clipped to the agreed norm, in whole numbers, and counted once.",
            figures=[figure("clip norm", mechanism.clip_norm)],
            at=agreed("privacy.clip_norm"),
        ),
    )


def _of_gradients(source: Source) -> tuple[Point, ...]:
    training = source.agreement.training
    assert training is not None
    trained = [name for name, charge in source.charges.items() if not charge.stated]
    points = [
        source.claim(
            "ledger-segments",
            "Each ledger was charged for the agreed training: in each step a record takes part "
            "with the sampling rate, and moves the sum of gradients by at most the clip norm.",
            figures=[
                figure("clip norm of a gradient", training.clip_norm),
                *_of_event(source.worst_event),
            ],
            at=[
                *agreed("training.clip_norm", "training.noise_multiplier"),
                *(source.place_of(teacher, "/body/events/0") for teacher in source.charges),
            ],
        )
    ]
    if trained:
        points.append(
            source.claim(
                "private-training",
                "That each record's gradient was clipped before it was added, and records were "
                "sampled as agreed.",
                at=agreed("training"),
            )
        )
    if len(trained) < len(source.charges):
        stated = sorted(set(source.charges) - set(trained))
        points.append(
            source.claim(
                "stated-training",
                "That the models that were trained before the run were trained so.",
                at=agreed(*(f"parties.{name}.stated" for name in stated)),
            )
        )
    points.append(source.missing(OWN_CODE))
    return tuple(points)


def _of_event(event: Any) -> list[Figure]:
    assert isinstance(event, DpSgdTraining)
    return [
        figure("noise of a step over the clip norm", event.noise_multiplier),
        figure("sampling rate", event.sampling_rate),
        figure("steps", event.steps),
    ]


def accountant(source: Source) -> Answer:
    """By which accountant the numbers come about."""
    asked = "Which accountant made the numbers, and do others agree?"
    topic = "variants of differential privacy, conversion and composition"
    check = source.plan.accounting
    if check is None:
        return Answer("accountant", asked, topic, NONE_HERE, nothing_to_ask())
    google = f"dp-accounting {check.dp_accounting_version}"
    figures = [
        bound("headline epsilon", check.epsilon),
        bound("delta", check.delta),
        figure("accountant", check.accountant),
        figure("version of the accountant", check.accountant_version),
    ]
    if isinstance(check, CrossCheck):
        figures += [
            bound("rho (zCDP)", check.rho),
            bound("simple zCDP bound, never below the headline", check.zcdp_epsilon),
            bound(f"RDP by {google}, continuous Gaussians", check.rdp_epsilon),
        ]
        if check.pld_epsilon is not None:
            figures.append(bound(f"PLD by {google}, continuous Gaussians", check.pld_epsilon))
        text = (
            "The headline is proved for vectors of discrete Gaussians. On this machine it was "
            "worked out again and compared with the others; had they disagreed by more than "
            "theory allows, the folder would not verify."
        )
    else:
        figures.append(bound(f"Renyi divergences by {google}, for information", check.rdp_epsilon))
        text = (
            f"The headline is by privacy loss distributions of {google}, for exact Gaussian "
            "noise, worked out again on this machine. Both numbers are bounds from above: a "
            "headline that is too small would not show in their comparison."
        )
    points = (
        source.claim(
            source.accounting_claim,
            text,
            figures=figures,
            at=[
                *summed_up("/epsilon", "/accounting"),
                *(source.place_of(teacher, "/body/events") for teacher in source.charges),
            ],
        ),
        source.claim(
            "sizes-and-times",
            "Which versions of the software the run itself had, and the figures that its own "
            "accountants gave beside the headline.",
            figures=[
                figure(name, version)
                for name, version in sorted(source.summary["versions"].items())
            ],
            at=summed_up("/versions", "/accountant", "/accounting"),
        ),
    )
    return Answer("accountant", asked, topic, f"{check.accountant}.", points)


def choices(source: Source) -> Answer:
    """Whether a choice that was made can depend on private records."""
    asked = "Can any choice that was made tell of private records?"
    topic = "parameters and tuning that depend on data"
    agreement = source.agreement
    content = agreement.content()
    listed = [
        figure(f"{table}.{name}", _plain(value))
        for table in _CHOICES
        if table in content
        for name, value in content[table].items()
    ]
    points = [
        source.claim(
            "run-id",
            "Every parameter below stands in the agreement that all parties signed. The run id "
            "and every message name that agreement by its hash: nothing in it was chosen or "
            "changed in the run.",
            figures=listed,
            at=agreed(*(table for table in _CHOICES if table in content)),
        ),
        source.missing(
            "How these values came about before the agreement was signed: whether somebody looked "
            "at private records for them, or tried others before. By the protocol they come from "
            "public data.",
            how="Ask those who signed. `secure-fedsa agree new` takes them from public probes.",
            at=agreed("encoder.probes_sha256"),
        ),
        _selection(source),
        source.claim(
            "roster",
            "How many rosters the run had: each later one leaves members out, and its members "
            "signed it. A run that is tried again has an id and a charge of its own.",
            figures=[figure("rosters", source.facts.roster.number)],
            at=[(source.roster_file, "/body/number")],
        ),
        source.missing(
            "Protection of the student's choices: its question to the teachers comes from its own "
            "labelled records, without noise.",
        ),
    ]
    if any(charge.stated for charge in source.charges.values()):
        points.append(
            source.claim(
                "stated-training",
                "That the stated steps include all tuning on the same records.",
                at=agreed(*(f"parties.{t}.stated" for t, c in source.charges.items() if c.stated)),
            )
        )
    text = "None within the run; how the agreed values were found is not shown."
    if agreement.route == ENCRYPTION_ONLY:
        text = "Yes: who is selected depends on the models themselves, and no noise covers that."
    return Answer("choices", asked, topic, text, tuple(points))


def _selection(source: Source) -> Point:
    how = {
        NOISY_RELEASE: "of their noisy summaries: the choice costs nothing more",
        PRIVATE_TRAINING: "of their privately trained models: the choice costs nothing more",
        ENCRYPTION_ONLY: "of their models, and nothing bounds what the choice tells of records",
    }[source.agreement.route]
    selection = source.agreement.selection
    return source.claim(
        "selection",
        f"That the teachers were selected by the scores {how}.",
        figures=[
            figure("selected", len(source.verdict.facts.members)),
            figure("teachers", len(source.agreement.teachers)),
            figure("agreed threshold", selection.threshold),
        ],
        at=[(source.roster_file, "/body/members"), *agreed("selection")],
    )


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def randomness(source: Source) -> Answer:
    """Where the noise comes from."""
    asked = "Is the noise random, fresh, and of the stated strength?"
    topic = "randomness of the mechanisms"
    if not source.private:
        return Answer("randomness", asked, topic, NONE_HERE, nothing_to_ask())
    noisy = source.agreement.route == NOISY_RELEASE
    points = [
        source.claim(
            "signatures",
            "The agreement forbids noise from a seed: it is no simulation, and neither is the run "
            "by its summary. A folder that says otherwise does not verify.",
            figures=[figure("simulation", source.agreement.simulation)],
            at=[*agreed("simulation"), *summed_up("/simulated")],
        ),
        source.claim(
            "roster",
            "Each signal that went into the sum is named by the charge that pays for it, and no "
            "charge pays for two.",
            figures=[figure("signals", len(source.release.signal_ids))],
            at=[
                (source.release_file, "/body/signal_ids"),
                *(source.place_of(t, "/hash") for t in source.verdict.facts.members),
            ],
        ),
    ]
    if noisy or any(not charge.stated for charge in source.charges.values()):
        drawn = (
            "That fresh noise was drawn. This software draws discrete Gaussians in exact "
            "arithmetic (OpenDP) from the operating system's generator."
            if noisy
            else "That fresh noise was drawn, of a generator that the operating system fills anew "
            "for each step."
        )
        points.append(source.claim("noise-was-drawn", drawn, at=agreed("privacy")))
    if not noisy:
        points.append(source.missing(FLOATING_POINT))
    text = "No seed by agreement; that noise was drawn as agreed is each teacher's word."
    return Answer("randomness", asked, topic, text, tuple(points))


def side_channels(source: Source) -> Answer:
    """What leaks beside the messages' contents."""
    asked = "What can be learnt beside the contents: from times, lengths, order, rounding?"
    topic = "side channels and implementation challenges"
    limits = source.agreement.limits
    points = [
        source.claim(
            "policy",
            "Kinds and numbers of messages are those that the protocol prescribes: by role, "
            "roster and agreement.",
            figures=_traffic(source),
            at=[(source.roster_file, "/body/members")],
        ),
        source.missing(
            "Times: how long a machine took to answer, and what that tells. The run folder holds "
            "no time of any single party.",
            how="Measure on the institution's own machine. The agreed limits are below: in one "
            "process deadlines are logical and hide no times; an engine across machines has to let "
            "each reply leave that long after its phase began.",
            figures=[
                figure("engine", str(source.summary["engine"])),
                figure("seconds after which a reply leaves", limits.reply_seconds),
                figure("seconds that a silent party is awaited", limits.silence_seconds),
            ],
            at=[*agreed("limits"), *summed_up("/engine")],
        ),
        source.missing(
            "Power, memory and caches of the machine that computes on private records.",
        ),
    ]
    if source.agreement.route == NOISY_RELEASE:
        points.append(
            source.claim(
                "private-summary",
                "Rounding: that records were put on the grid of whole numbers before they were "
                "summed, and that nothing but whole numbers was added up or met the noise.",
                figures=[figure("grid", source.agreement.mechanism.grid)],
                at=agreed("privacy.grid"),
            )
        )
    elif source.private:
        points.append(source.missing(FLOATING_POINT))
    text = "Kinds and numbers of messages are as agreed; times are not shown."
    return Answer("side-channels", asked, topic, text, tuple(points))


def _traffic(source: Source) -> list[Figure]:
    """Return what an observer of the folder sees of members' messages."""
    counts: Counter[str] = Counter()
    uploads: list[int] = []
    for name, size in source.message_sizes.items():
        found = sender_and_kind(name)
        assert found is not None
        counts[found[0]] += 1
        if found[1] == "upload":
            uploads.append(size)
    members = sorted({counts[member] for member in source.verdict.facts.members})
    figures = [figure("messages of each selected teacher", " or ".join(map(str, members)))]
    if source.agreement.publish.ciphertexts:
        figures += [
            figure("bytes of the shortest upload", min(uploads)),
            figure("bytes of the longest upload", max(uploads)),
        ]
    return figures
