"""What the machines did: where noise came from, and what leaks beside the contents."""

from __future__ import annotations

from collections import Counter

from secure_fedsa.agreement import NOISY_RELEASE
from secure_fedsa.audit.answers.model import Answer, Figure, figure
from secure_fedsa.audit.answers.promise import NONE_HERE, noise_was_drawn, nothing_to_ask
from secure_fedsa.audit.answers.source import Source, agreed, summed_up
from secure_fedsa.audit.layout import sender_and_kind
from secure_fedsa.report.notices import FLOATING_POINT


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
    drawn = (
        "That fresh noise was drawn. This software draws discrete Gaussians in exact arithmetic "
        "(OpenDP) from the operating system's generator."
        if noisy
        else "That fresh noise was drawn, of a generator that the operating system fills anew for "
        "each step."
    )
    points += noise_was_drawn(source, drawn)
    if not noisy:
        points.append(source.missing(FLOATING_POINT))
    text = "No seed by agreement; that noise was drawn as agreed is each teacher's word."
    return Answer("randomness", asked, topic, text, tuple(points))


def _pace(source: Source) -> str:
    """Return what the software does about the time of a summary's noise, as a sentence."""
    if source.agreement.route != NOISY_RELEASE:
        return ""
    return (
        " This software draws a summary's noise before it reads records, and hands it out at the "
        "pace of another batch; no file shows that a teacher ran it."
    )


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
            "Times: how long a machine took to answer, and what that tells. Of single parties the "
            "folder holds none; of whole phases, those on private records too, it holds what the "
            f"aggregator says they took.{_pace(source)}",
            how="Measure on the institution's own machine. The agreed limits are below: in one "
            "process deadlines are logical and hide no times; an engine across machines has to let "
            "each reply leave that long after its phase began.",
            figures=[
                figure("engine", str(source.summary["engine"])),
                figure("seconds after which a reply leaves", limits.reply_seconds),
                figure("seconds that a silent party is awaited", limits.silence_seconds),
                figure("phases with a stated time", len(source.summary["wall_seconds"]) - 1),
            ],
            at=[*agreed("limits"), *summed_up("/engine", "/wall_seconds")],
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
