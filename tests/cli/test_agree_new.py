"""``agree new``: a text that people can read, and that holds."""

from __future__ import annotations

import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.agreement import Agreement, Retention, Stated, parse
from secure_fedsa.cli.agreement_text import to_text
from secure_fedsa.cli.agreement_words import WORDS
from secure_fedsa.cli.main import main
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.planning import plan
from tests.cli.agreements import PARTIES, TEACHERS, new
from tests.routes import ROUTES
from tests.support import STUDENT_PROMISE, institution_promise, table

Capture = pytest.CaptureFixture[str]
KEYS = [f"{number:064x}" for number in range(1, 9)]


def read(folder: Path, name: str = "agreement.toml") -> Agreement:
    """Return the agreement of a file."""
    return parse((folder / name).read_text())


def test_a_draft_is_read_planned_and_goes_with_its_encoder(drafted: Path) -> None:
    """Who is handed a draft that cannot hold loses a day of everybody's time."""
    agreement = read(drafted)
    found = plan(agreement)
    assert found.accounting is not None
    assert found.accounting.epsilon == pytest.approx(4.0, rel=1e-6)
    encoder = PublicEncoder.from_bytes((drafted / "encoder.safetensors").read_bytes())
    assert encoder.sha256() == agreement.encoder.sha256
    assert encoder.clip_norm == agreement.mechanism.clip_norm
    assert encoder.dimension == agreement.encoder.dimension
    probes = np.load(drafted / "data" / "student.npz")["probes"]
    assert probes_hash(probes) == agreement.encoder.probes_sha256
    assert set(agreement.parties) == set(PARTIES)
    assert agreement.teachers == TEACHERS
    assert not agreement.signatures
    assert not agreement.simulation


def test_every_entry_is_explained(drafted: Path) -> None:
    """An entry without words is signed unread."""
    lines = (drafted / "agreement.toml").read_text().splitlines()
    for number, line in enumerate(lines):
        named = line.split(" = ")[0]
        if " = " in line and not line.startswith("#") and named not in {"role", "key", "classes"}:
            assert lines[number - 1].startswith("# "), line
    assert all(len(line) <= 100 or " = " in line for line in lines)
    clauses = set()
    agreement = replace(read(drafted), retention=Retention(local_log_days=30, unfinished_days=7))
    shared = institution_promise(3)["institution_privacy"]
    promised = replace(agreement, student_privacy=STUDENT_PROMISE, institution_privacy=shared)
    for known in (promised, *(changed(agreement) for changed in ROUTES.values())):
        for entry in fields(known):
            clauses.add(entry.name)
            value = getattr(known, entry.name)
            if is_dataclass(value):
                clauses |= {f"{entry.name}.{inner.name}" for inner in fields(value)}
    assert set(WORDS) == clauses


def test_a_text_says_exactly_what_its_agreement_says(drafted: Path) -> None:
    """What people read must be what is signed, names with quotes and breaks included."""
    agreement = replace(read(drafted), title='A "title"\nin two lines \\ \u2028')
    assert parse(to_text(agreement, ["made\nof = 'lines'"])) == agreement


@pytest.mark.parametrize(
    ("flags", "clause", "value"),
    [
        (("--custody", "aggregator"), "custody", "aggregator"),
        (("--title", "Wards"), "title", "Wards"),
        (("--delta", "1e-6"), "privacy.delta", 1e-6),
        (("--neighbours", "replace-one"), "privacy.neighbours", "replace-one"),
        (("--max-records", "3"), "privacy.unit", "person"),
        (("--student-epsilon", "2"), "student_privacy.epsilon", 2.0),
        (("--student-epsilon", "2", "--student-budget", "3"), "student_privacy.budget", 3.0),
        (("--student-epsilon", "2", "--student-classes", "5"), "student_privacy.classes", 5),
        (("--institution-epsilon", "8"), "institution_privacy.epsilon", 8.0),
        (("--institution-epsilon", "8"), "selection.select", 4),
        (("--institution-epsilon", "8"), "selection.minimum_cohort", 4),
        (("--institution-epsilon", "8", "--minimum-cohort", "3"), "selection.minimum_cohort", 3),
        (
            ("--institution-epsilon", "8", "--institution-neighbours", "member-to-any"),
            "institution_privacy.neighbours",
            "member-to-any",
        ),
        (("--budget", "9"), "privacy.agreement_budget", 9.0),
        (("--data-set-budget", "99"), "privacy.data_set_budget", 99.0),
        (("--select", "3"), "selection.select", 3),
        (("--max-colluding", "2"), "selection.max_colluding", 2),
        (("--threshold", "-1"), "selection.threshold", -1.0),
        (("--encryption", "off"), "publish.feature_key", False),
        (("--publish-scores", "order"), "publish.scores", "order"),
        (("--publish-ciphertexts", "no"), "publish.feature_key", False),
        (("--publish-sums", "no"), "publish.sums", False),
        (("--publish-sums", "no", "--encryption", "off"), "publish.ciphertexts", False),
        (("--publish-feature-key", "no"), "publish.feature_key", False),
        (("--log-days", "0"), "retention.local_log_days", 0),
        (("--log-days", "5"), "retention.unfinished_days", 30),
        (("--unfinished-days", "3"), "retention.unfinished_days", 3),
        (("--unfinished-days", "3"), "retention.local_log_days", 90),
    ],
)
def test_every_choice_reaches_its_clause(
    flags: tuple[str, ...], clause: str, value: object, drafted: Path
) -> None:
    """A flag without effect is a promise without effect."""
    assert new(drafted, *flags, out="other/agreement.toml") == 0
    tables = tomllib.loads((drafted / "other" / "agreement.toml").read_text())
    for name in clause.split("."):
        tables = tables[name]
    assert tables == value
    plan(read(drafted / "other"))


@pytest.mark.parametrize(
    ("flags", "clause"),
    [
        (("--select", "5"), "selection.select"),
        (("--minimum-cohort", "5"), "selection.select"),
        (("--max-colluding", "4"), "selection.select"),
        (("--budget", "3"), "privacy.agreement_budget"),
        (("--data-set-budget", "3"), "privacy.data_set_budget"),
        (("--publish-feature-key", "yes", "--encryption", "off"), "publish.feature_key"),
        (("--publish-feature-key", "yes", "--publish-sums", "no"), "publish.feature_key"),
        (
            (
                *("--encryption", "off", "--publish-sums", "no"),
                *("--publish-ciphertexts", "yes"),
            ),
            "publish.ciphertexts",
        ),
    ],
)
def test_choices_that_cannot_hold_are_refused_by_clause(
    flags: tuple[str, ...], clause: str, drafted: Path, capsys: Capture
) -> None:
    """Nothing is written that others would sign in vain, and nobody waits to be told so."""
    capsys.readouterr()
    assert new(drafted, *flags, out="other/agreement.toml") == 2
    words = capsys.readouterr().err
    assert f"error: {clause}:" in words
    assert "The options behind it: --" in words
    assert "Fitting" not in words
    assert not (drafted / "other").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--student-epsilon", "1", "--unit", "person"),
            "--student-epsilon does not go with --unit person",
        ),
        (
            ("--student-epsilon", "1", "--max-records", "3"),
            "--student-epsilon does not go with --max-records 3",
        ),
        (
            ("--student-epsilon", "1", "--route", "private-training"),
            "--student-epsilon does not go with --route private-training",
        ),
        (("--student-budget", "3"), "--student-budget does nothing without --student-epsilon"),
        (("--student-classes", "3"), "--student-classes does nothing without --student-epsilon"),
        (("--unit", "record", "--max-records", "2"), "contradict each other"),
        (("--form", "gram"), "--form does nothing"),
        (("--asked", "70"), "--asked does nothing"),
        (("--width", "64"), "--width does nothing"),
        (("--saliency", "grad-cam"), "--saliency does nothing"),
    ],
)
def test_options_that_contradict_one_another_are_refused_before_anything_is_read(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: Capture
) -> None:
    """Who waits for a fit and is then told of another option tries them one by one."""
    assert new(tmp_path, *flags) == 2  # there are no data at all
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("error: --")
    assert words in first


@pytest.mark.parametrize(
    ("flags", "clause"),
    [
        (("--institution-epsilon", "8", "--encryption", "off"), "protection.he"),
        (("--institution-epsilon", "8", "--select", "3"), "selection.select"),
        (("--institution-epsilon", "1e-6"), "institution_privacy.norm_bound"),
        (("--log-days", "99999"), "retention.local_log_days"),
    ],
)
def test_what_no_agreement_can_hold_is_refused_before_the_encoder_is_fitted(
    flags: tuple[str, ...], clause: str, drafted: Path, capsys: Capture
) -> None:
    """Thousands of probes take a minute, for a refusal that needs none of them."""
    capsys.readouterr()
    assert new(drafted, *flags, out="other/agreement.toml") == 2
    words = capsys.readouterr().err
    assert words.startswith(f"error: {clause}:")
    assert "Fitting" not in words
    assert not (drafted / "other").exists()


def test_state_folders_in_a_mistyped_place_are_not_there(drafted: Path, capsys: Capture) -> None:
    """Seven parties that make new keys are seven ledgers that begin anew."""
    files = ("--data", str(drafted / "data"), "--out", str(drafted / "other" / "a.toml"))
    assert main(["agree", "new", *files, "--states", str(drafted / "staets")]) == 2
    what, why, do = capsys.readouterr().err.splitlines()
    assert what.endswith("staets does not exist.")
    assert why == "  Names like it there: states."
    assert "keys new" not in do


def test_a_place_that_cannot_be_written_is_refused_first(drafted: Path, capsys: Capture) -> None:
    """As above, of the last step."""
    capsys.readouterr()
    assert new(drafted, out="data/student.npz/agreement.toml") == 2
    words = capsys.readouterr().err
    assert "student.npz is no folder that you can write" in words
    assert "Fitting" not in words


@pytest.mark.parametrize("name", ["agreement.toml", "encoder.safetensors"])
def test_nothing_is_overwritten(name: str, drafted: Path, capsys: Capture) -> None:
    """Somebody may have signed the one, and hold the other's hash."""
    other = {"agreement.toml": "encoder.safetensors"}.get(name, "agreement.toml")
    before = (drafted / name).read_bytes()
    (drafted / other).unlink()
    assert new(drafted) == 2
    assert name in capsys.readouterr().err
    assert (drafted / name).read_bytes() == before
    assert not (drafted / other).exists()


def by_hand(folder: Path, *more: str) -> int:
    """Draft from a file of probes and keys on the command line."""
    probes, _ = table(100, 200)
    np.save(folder / "probes.npy", probes)
    out = str(folder / "a.toml")
    return main(["agree", "new", "--probes", str(folder / "probes.npy"), "--out", out, *more])


TEACHER_FLAGS = tuple(
    flag
    for number, name in enumerate(("north", "east", "west"))
    for flag in ("--teacher", f"{name}={KEYS[number]}:ill, well")
)
ROLE_FLAGS = (
    *("--aggregator", KEYS[3], "--key-holder", f"office={KEYS[4]}", "--student", KEYS[5]),
)


def test_parties_by_flags(tmp_path: Path) -> None:
    """No file is needed for a first try."""
    assert by_hand(tmp_path, *TEACHER_FLAGS, *ROLE_FLAGS) == 0
    agreement = read(tmp_path, "a.toml")
    assert agreement.teachers == ("east", "north", "west")
    assert agreement.parties["north"].classes == ("ill", "well")
    assert agreement.only("key-holder") == "office"
    assert agreement.parties["student"].key == KEYS[5]


def test_parties_by_file(tmp_path: Path) -> None:
    """Class names may hold commas and colons."""
    tables = [
        f'[parties.{name}]\nrole = "{role}"\nkey = "{key}"\n'
        + ('classes = ["a, b", "c:d"]\n' if role == "teacher" else "")
        for name, role, key in zip(
            ("t1", "t2", "t3", "agg", "kh", "st"),
            (*("teacher",) * 3, "aggregator", "key-holder", "student"),
            KEYS,
            strict=False,
        )
    ]
    (tmp_path / "parties.toml").write_text("\n".join(tables))
    assert by_hand(tmp_path, "--parties", str(tmp_path / "parties.toml")) == 0
    agreement = read(tmp_path, "a.toml")
    assert agreement.parties["t2"].classes == ("a, b", "c:d")
    assert agreement.only("aggregator") == "agg"


def test_a_stated_training_comes_from_the_file(tmp_path: Path, capsys: Capture) -> None:
    """Without it an institution cannot say how it trained, short of editing by hand."""
    parts = [
        f'[parties.{name}]\nrole = "{role}"\nkey = "{key}"\n'
        + ('classes = ["a", "b"]\n' if role == "teacher" else "")
        for name, role, key in zip(
            ("t1", "t2", "t3", "agg", "kh", "st"),
            (*("teacher",) * 3, "aggregator", "key-holder", "student"),
            KEYS,
            strict=False,
        )
    ]
    path = tmp_path / "parties.toml"
    said = "[parties.t2.stated]\nsampling_rate = 0.01\nsteps = 200\nnoise_multiplier = 2\n"
    path.write_text("\n".join([*parts, said]))
    flags = ("--parties", str(path), "--route", "private-training")
    assert by_hand(tmp_path, *flags) == 0
    assert read(tmp_path, "a.toml").parties["t2"].stated == Stated(0.01, 200, 2.0)
    assert "STATED, NOT WITNESSED" in capsys.readouterr().out
    for wrong in (said.replace("steps = 200\n", ""), said.replace("200", "2.5"), said + "x = 1\n"):
        path.write_text("\n".join([*parts, wrong]))
        (tmp_path / "a.toml").unlink(missing_ok=True)
        (tmp_path / "encoder.safetensors").unlink(missing_ok=True)
        assert by_hand(tmp_path, *flags) == 2
        assert "stated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "No teacher"),
        (TEACHER_FLAGS, "aggregator, key-holder, student is missing"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--teacher", "south"), "NAME=KEY"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--teacher", f"south={KEYS[7]}"), "classes of south"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--teacher", f"South={KEYS[7]}:a,b"), "not a party's name"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--teacher", "south=12:a,b"), "not a public key"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--teacher", f"south={KEYS[7]}:a,"), "no name"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--teacher", f"north={KEYS[7]}:ill,well"), "Two keys"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--teacher", f"north={KEYS[0]}:ill"), "Two lists"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--student", f"north={KEYS[7]}"), "as teacher and as"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--student", "key"), "not a public key"),
        ((*TEACHER_FLAGS, *ROLE_FLAGS, "--parties", "absent.toml"), "Cannot read"),
    ],
)
def test_parties_with_holes_are_refused_in_words(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: Capture
) -> None:
    """A hole that is filled later voids every signature made before."""
    assert by_hand(tmp_path, *flags) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a.toml").exists()


def test_one_key_for_two_parties_is_refused(tmp_path: Path, capsys: Capture) -> None:
    """One institution would sit at the table twice."""
    flags = (*TEACHER_FLAGS, *ROLE_FLAGS[:-1], KEYS[0])
    assert by_hand(tmp_path, *flags) == 2
    assert "error: parties.student.key: is also the key of north" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.npy", b"no array"),
        ("p.npz", b"no archive"),
        ("p.toml", b""),
        ("absent.npy", None),
    ],
)
def test_probes_that_cannot_be_read_are_refused(
    name: str, content: bytes | None, tmp_path: Path, capsys: Capture
) -> None:
    """An encoder of anything else would be everybody's encoder."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    flags = (*TEACHER_FLAGS, *ROLE_FLAGS, "--out", str(tmp_path / "a.toml"))
    assert main(["agree", "new", "--probes", str(path), *flags]) == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "a.toml").exists()


def test_too_few_probes_are_refused(tmp_path: Path, capsys: Capture) -> None:
    """Thirty records make no encoder."""
    np.save(tmp_path / "few.npy", np.zeros((3, 5), np.float32))
    flags = (*TEACHER_FLAGS, *ROLE_FLAGS, "--out", str(tmp_path / "a.toml"))
    assert main(["agree", "new", "--probes", str(tmp_path / "few.npy"), *flags]) == 2
    assert "too few" in capsys.readouterr().err


def test_pickled_probes_are_not_opened(tmp_path: Path, capsys: Capture) -> None:
    """A file from somebody else could run code."""
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object), allow_pickle=True)
    flags = (*TEACHER_FLAGS, *ROLE_FLAGS, "--out", str(tmp_path / "a.toml"))
    assert main(["agree", "new", "--probes", str(tmp_path / "p.npy"), *flags]) == 2
    assert "p.npy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--delta", "1e-3"), "may give away one of some"),
        (("--epsilon", "50"), "promises little"),
    ],
)
def test_numbers_that_promise_little_are_warned_of(
    drafted: Path, flags: tuple[str, ...], words: str, capsys: Capture
) -> None:
    """If this fails, an officer signs a delta or an epsilon that protects nobody, unwarned."""
    capsys.readouterr()
    assert new(drafted, out="usual/agreement.toml") == 0
    assert "WARNING" not in capsys.readouterr().err
    assert new(drafted, *flags, out="odd/agreement.toml") == 0
    assert words in capsys.readouterr().err
