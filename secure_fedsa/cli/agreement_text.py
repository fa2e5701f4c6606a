"""An agreement as a text that people can read: every entry with what it does.

The words stand in one table, :data:`WORDS`, by clause. Comments are not signed: who signs
reads what ``agree sign`` shows, which is computed from the entries.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import tomli_w

from secure_fedsa.agreement import Agreement

_WIDTH = 88

WORDS: dict[str, str] = {
    "version": "Version of this format.",
    "title": "What this agreement is about, for people. Nothing else depends on it.",
    "route": (
        "What makes a teacher's signals private: noise on a sum, over its records, of a public "
        "function of one record."
    ),
    "simulation": (
        "true lets tests draw noise from a seed. Such a run protects nobody, and verify refuses it."
    ),
    "custody": (
        'Who makes and holds the one-use key of the encrypted sum: "key-holder" or '
        '"aggregator". With "aggregator" the student\'s side can open the sum alone. Masks still '
        "hide single teachers, but that only one sum was opened is then the aggregator's word."
    ),
    "parties": (
        "Everybody who takes part; nobody else can. role: teacher, aggregator, key-holder or "
        "student. key: the party's public identity key (secure-fedsa keys show), 64 hexadecimal "
        "digits. classes: the names of a teacher's own classes, in the order of its labels; "
        "they are public."
    ),
    "encoder": "The public function of one record that every teacher applies.",
    "encoder.sha256": (
        "SHA-256 of the encoder's file, encoder.safetensors, which every party needs. A teacher "
        "with any other refuses."
    ),
    "encoder.dimension": (
        "Numbers in an encoded record (d). A teacher's signal has d (d + 1) / 2 + 1 values. From "
        "the encoder."
    ),
    "encoder.probes_sha256": (
        "Hash of the public examples (probes) that the encoder was fitted to: their shape, type "
        "and bytes."
    ),
    "privacy": "What the promise of differential privacy is, and the noise that keeps it.",
    "privacy.unit": (
        'Whom the promise protects: one "record", or one "person" with up to max_records records '
        "at a teacher. A person at several teachers loses epsilon at each."
    ),
    "privacy.neighbours": (
        '"add-remove": whether one record was there can hardly be told. "replace-one": nor which '
        "of two it was; that takes about twice the noise."
    ),
    "privacy.max_records": (
        "Records of one person that the promise covers; 1 for the unit record. Noise grows in "
        "proportion."
    ),
    "privacy.epsilon": (
        "Bound of the privacy loss of one run at one teacher. Smaller protects more and teaches "
        "less."
    ),
    "privacy.delta": (
        "Probability that the bound fails. Keep it well below one over a teacher's number of "
        "records."
    ),
    "privacy.clip_norm": (
        "Length to which an encoded record is cut, so that none counts for more. From the "
        "encoder: half of its probes are longer."
    ),
    "privacy.grid": (
        "Whole steps in one clip norm, to which records are rounded. Finer makes integers longer "
        "and little else."
    ),
    "privacy.count_weight": (
        "What a record adds to its class's count, in clip norms. More makes counts more exact "
        "and all else noisier."
    ),
    "privacy.count_floor": (
        "Fewest records that a noisy class count may stand for; keeps means of near-empty "
        "classes from exploding."
    ),
    "privacy.noise_multiplier": (
        "Standard deviation of the noise, in units of the most that one record (or person) can "
        "change. Computed from epsilon and delta; plan refuses less."
    ),
    "privacy.agreement_budget": (
        "Epsilon, at delta, that all runs under this agreement together may spend at a teacher. "
        "Unless told, agree new sets ten times epsilon."
    ),
    "privacy.data_set_budget": (
        "Epsilon that all runs on one data set may spend, whatever the agreement. Unless told, "
        "as much as the agreement's budget, and at least 20."
    ),
    "protection": "What a run is protected by. Report, summary and receipt say it.",
    "protection.dp": "Differential privacy. This route always has it.",
    "protection.he": (
        "Encryption of the student's question and of the teachers' signals. false is for "
        "comparisons only: single signals are then open."
    ),
    "protection.masks": (
        "Pairwise masks, which hide single signals from the holder of the feature key too. "
        "Switched together with he."
    ),
    "saliency": "What teachers and student compare under encryption, so that the best are chosen.",
    "saliency.directions": (
        "Leading directions of the encoding that are compared (m). The question has m (m + 1) / 2 "
        "values: more take longer and tell more about the teachers."
    ),
    "saliency.unit": (
        "Scatter per record that counts as 1, in squared clip norms. From the encoder: the "
        "probes' largest variance."
    ),
    "saliency.teacher_bound": "Largest absolute value of a teacher's signal before rounding.",
    "saliency.query_bound": "Largest absolute value of the student's question before rounding.",
    "saliency.bits": "Bits of each rounded value, sign included.",
    "features": "What the selected teachers' sum is of: how their classes differ in the encoding.",
    "features.bound": (
        "Largest absolute whole number of one teacher's value; more is cut. Twice select times "
        "bound must stay below plain_modulus."
    ),
    "features.scale": (
        "Whole steps in one unit of scatter. agree new sets bound / (4 x --records): values above "
        "four times that many records are cut."
    ),
    "encryption": "Parameters of the encrypted sum (BFV) and of the encrypted question (Paillier).",
    "encryption.scheme": "Exact whole numbers.",
    "encryption.poly_modulus_degree": "Values in one ciphertext.",
    "encryption.coeff_mod_bit_sizes": (
        "Bits of the primes of the ciphertext modulus; the last serves keys only. Their sum is "
        "bounded for 128-bit security, and they leave the noise budget that plan proves."
    ),
    "encryption.plain_modulus": (
        "Sums are exact below half of this prime, which must be 1 modulo twice the degree."
    ),
    "encryption.query_modulus_bits": (
        "Length of the student's Paillier modulus, bits: 3,072 is 128-bit security. Time grows "
        "with its cube."
    ),
    "selection": "Who is chosen, and how many a sum needs.",
    "selection.select": "Most teachers in the sum.",
    "selection.threshold": (
        "Smallest score that may be selected; 1 means the same task, 0 nothing in common."
    ),
    "selection.minimum_cohort": "Fewest teachers in a sum that may be opened.",
    "selection.max_colluding": (
        "Teachers that may work together against another. No sum over fewer than two more is "
        "ever opened."
    ),
    "publish": "What the run folder shows to whoever reads it.",
    "publish.scores": (
        '"none", "order" (ranks only) or "values". A score tells how near a teacher\'s task is to '
        "the student's."
    ),
    "publish.ciphertexts": (
        "true: the masked uploads and their sum, so that verify adds them again. false: their "
        "hashes; the sum is then attested by aggregator and key holder."
    ),
    "publish.sums": (
        "true: the opened sum, which verify can then check. false: it is sealed to the student."
    ),
    "publish.feature_key": (
        "true: the one-use secret key after its one use, so that verify decrypts again. Needs "
        "ciphertexts, sums and protection.he. Single uploads stay hidden by their masks."
    ),
    "limits": "How long a party waits across machines, and how many runs may fail.",
    "limits.reply_seconds": (
        "Seconds after which every teacher's answer leaves, whenever it was ready. (Runs on one "
        "machine have no clocks.)"
    ),
    "limits.silence_seconds": "Seconds after which a silent party is given up.",
    "limits.max_burned": (
        "Charges that a teacher may lose to runs without a result before its operator must look."
    ),
    "signatures": (
        "One line a party, added by: secure-fedsa agree sign. Each covers every entry above, "
        "and no comment."
    ),
}


def to_text(agreement: Agreement, origin: Sequence[str] = ()) -> str:
    """Return the commented TOML of an agreement; it parses back to the same agreement.

    Args:
        agreement: The agreement, signed or not.
        origin: Lines for the head: what was computed from what.
    """
    lines = [
        "# An agreement of secure-fedsa. It binds nobody until every party has signed it.",
        "#   secure-fedsa plan FILE                      what a run spends, sends and takes",
        "#   secure-fedsa agree sign FILE --state STATE  sign for the party whose key is in STATE",
        "#   secure-fedsa agree check FILE               who signed, and whether all of it holds",
        "# A changed entry voids every signature: all parties then sign again.",
        *(["#"] if origin else []),
        *(f"# {_printable(line)}" for line in origin),
        "",
    ]
    tables: list[str] = []
    for entry in fields(agreement):
        value = getattr(agreement, entry.name)
        if entry.name == "parties":
            tables += _parties(agreement)
        elif entry.name == "signatures":
            tables += ["", *_comment("signatures"), "[signatures]"]
            tables += [_line(name, text) for name, text in value.items()]
        elif is_dataclass(value):
            tables += _table(entry.name, value)
        else:
            lines += [*_comment(entry.name), _line(entry.name, value)]
    return "\n".join([*lines, *tables]) + "\n"


def _printable(text: str) -> str:
    """Return a text as one line of a comment, whatever a file was called."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _comment(clause: str) -> list[str]:
    return textwrap.wrap(
        WORDS[clause],
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
    )


def _line(name: str, value: Any) -> str:
    """Return one entry in TOML's spelling; arrays stay on their line."""
    if isinstance(value, tuple | list):
        return f"{name} = [{', '.join(_spelt(item) for item in value)}]"
    return f"{name} = {_spelt(value)}"


def _spelt(value: Any) -> str:
    return tomli_w.dumps({"x": value}).removeprefix("x = ").removesuffix("\n")


def _table(name: str, value: Any) -> Iterator[str]:
    yield from ("", *_comment(name), f"[{name}]")
    for entry in fields(value):
        yield from _comment(f"{name}.{entry.name}")
        yield _line(entry.name, getattr(value, entry.name))


def _parties(agreement: Agreement) -> Iterator[str]:
    yield from ("", *_comment("parties"))
    first = True
    for name, party in agreement.parties.items():
        yield from () if first else ("",)
        first = False
        yield f"[parties.{name}]"
        yield _line("role", party.role)
        yield _line("key", party.key)
        if party.classes:
            yield _line("classes", party.classes)
