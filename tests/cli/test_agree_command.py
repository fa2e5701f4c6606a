"""``agree sign`` and ``agree check``: the round of the parties, and what stops it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import parse
from secure_fedsa.cli.main import main
from secure_fedsa.wire.agreement_signatures import agreement_hash, verify_signatures
from tests.cli.agreements import PARTIES, check, edit, new, set_entry, sign, write_trust

Capture = pytest.CaptureFixture[str]


def findings(folder: Path, capsys: Capture, *more: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON of ``agree check``."""
    capsys.readouterr()
    code = check(folder, "--json", *more)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


@pytest.mark.parametrize("custody", ["key-holder", "aggregator"])
def test_the_round_of_all_parties(custody: str, drafted: Path, capsys: Capture) -> None:
    """Draft, sign in separate folders, check against keys: the whole way to a run."""
    for name in ("agreement.toml", "encoder.safetensors"):
        (drafted / name).unlink()
    assert new(drafted, "--custody", custody, "--title", "Wards") == 0
    for number, party in enumerate(PARTIES, 1):
        code, found = findings(drafted, capsys)
        assert code == 1
        assert found["verdict"] == "incomplete"
        assert list(found["signatures"].values()).count("signed") == number - 1
        assert sign(drafted, party) == 0
        words = capsys.readouterr().out
        assert "Wards" in words
        assert f"Signed by {party}." in words
        assert "epsilon 4 at delta 1e-05" in words
        assert f"its key is with {custody}" in words
    trust = write_trust(drafted, capsys)
    assert check(drafted, "--trust", str(trust)) == 0
    shown = capsys.readouterr()
    assert f"Verdict: complete, identities checked against {trust}." in shown.out
    assert shown.err == ""
    code, found = findings(drafted, capsys)
    agreement = parse((drafted / "agreement.toml").read_text())
    verify_signatures(agreement)
    assert agreement.custodian == custody
    assert (code, found["verdict"], found["problems"]) == (0, "complete", [])
    assert found["agreement"] == agreement_hash(agreement)
    assert found["identities_checked"] is False


def test_signing_adds_a_line_and_touches_nothing_else(drafted: Path) -> None:
    """The comments are what people read before they sign."""
    path = drafted / "agreement.toml"
    before = path.read_bytes()
    path.chmod(0o640)
    assert sign(drafted, "student") == 0
    after = path.read_bytes()
    assert after.startswith(before)
    added = after[len(before) :].decode()
    assert added.startswith('student = "')
    assert added.count("\n") == 1
    assert path.stat().st_mode & 0o777 == 0o640
    assert {p.name for p in drafted.iterdir()} == {
        "data",
        "states",
        "agreement.toml",
        "encoder.safetensors",
    }


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "# kept\n", "\n\n   # kept\n"])
def test_whatever_people_wrote_beside_it_is_kept(ends: str, tail: str, drafted: Path) -> None:
    """Notes of the legal department, other line ends, another order of the tables."""
    path = drafted / "agreement.toml"
    text = path.read_text()
    body, signatures = text.split("# One line a party")
    text = "# Reviewed on Monday.\n" + body.replace(
        "epsilon = 4.0", "epsilon   =  4.0   # as § 7 says"
    )
    text += "# One line a party" + signatures.replace("\n[signatures]\n", "\n[signatures] # x\n")
    path.write_bytes((text.rstrip("\n") + "\n" + tail).replace("\n", ends).encode())
    before = path.read_bytes()
    for party in PARTIES:
        assert sign(drafted, party) == 0
    kept = [
        line
        for line in path.read_bytes().splitlines(keepends=True)
        if not any(line.startswith(f'{name} = "'.encode()) for name in PARTIES)
    ]
    assert b"".join(kept) == before
    verify_signatures(parse(path.read_bytes().decode()))


def test_a_text_without_a_place_for_signatures_is_given_one(drafted: Path) -> None:
    """Somebody who wrote the file by hand may have left the empty table out."""
    path = drafted / "agreement.toml"
    path.write_text(path.read_text().replace("[signatures]\n", ""))
    before = path.read_text()
    for party in PARTIES:
        assert sign(drafted, party) == 0
    assert path.read_text().startswith(before)
    verify_signatures(parse(path.read_text()))


def test_signing_again_changes_nothing(signed: Path, capsys: Capture) -> None:
    """A script that runs twice must not hurt."""
    before = (signed / "agreement.toml").read_bytes()
    capsys.readouterr()
    assert sign(signed, "aggregator") == 0
    assert "has signed this already" in capsys.readouterr().out
    assert (signed / "agreement.toml").read_bytes() == before


def test_nobody_signs_over_another_text_than_others_did(signed: Path, capsys: Capture) -> None:
    """Otherwise the last signature would cover what the first never saw."""
    set_entry(signed, "privacy.epsilon", "4.5")
    before = (signed / "agreement.toml").read_bytes()
    capsys.readouterr()
    assert sign(signed, "student") == 1
    words = capsys.readouterr().err
    assert words.startswith(f"error: signatures: wrong: {', '.join(PARTIES[:-1])}.")
    assert "changed after it was signed" in words
    assert (signed / "agreement.toml").read_bytes() == before
    code, found = findings(signed, capsys)
    assert code == 1
    assert set(found["signatures"].values()) == {"wrong"}
    assert [problem["clause"] for problem in found["problems"]] == [
        f"signatures.{name}" for name in PARTIES
    ]


def test_a_party_may_renew_its_own_signature(drafted: Path) -> None:
    """Whoever changes the text before anybody else signed can sign it again."""
    assert sign(drafted, "student") == 0
    set_entry(drafted, "title", '"Second thoughts"')
    assert check(drafted) == 1
    assert sign(drafted, "student") == 0
    agreement = parse((drafted / "agreement.toml").read_text())
    assert agreement.title == "Second thoughts"
    for party in PARTIES:
        assert sign(drafted, party) == 0
    assert check(drafted) == 0


@pytest.mark.parametrize(
    ("state", "name", "clause"),
    [
        ("student", "aggregator", "parties.aggregator.key"),
        ("student", "nobody", "parties.nobody"),
        ("stranger", "student", "parties.student.key"),
        ("stranger", "", "parties"),
    ],
)
def test_nobody_signs_with_another_key(
    state: str, name: str, clause: str, drafted: Path, capsys: Capture
) -> None:
    """A name under an agreement is worth what its key is worth."""
    assert main(["keys", "new", str(drafted / "states" / "stranger")]) == 0
    before = (drafted / "agreement.toml").read_bytes()
    capsys.readouterr()
    assert sign(drafted, state, *(("--name", name) if name else ())) == 2
    assert f"error: {clause}:" in capsys.readouterr().err
    assert (drafted / "agreement.toml").read_bytes() == before


def test_signing_makes_no_key(drafted: Path, capsys: Capture) -> None:
    """A mistyped state folder must not become a new identity, nor be recommended as one."""
    assert sign(drafted, "studnet") == 2
    what, why, do = capsys.readouterr().err.splitlines()
    assert what.endswith("studnet does not exist, so there is no identity key.")
    assert why == "  Names like it there: student."
    assert "Only a party that has no key yet" in do
    assert not (drafted / "states" / "studnet").exists()
    (drafted / "states" / "empty").mkdir()
    assert sign(drafted, "empty") == 2
    assert "empty holds no identity key." in capsys.readouterr().err


def test_each_missing_and_strange_signature_is_named(signed: Path, capsys: Capture) -> None:
    """Who has still to sign is the first thing that people ask."""
    path = signed / "agreement.toml"
    lines = path.read_text().splitlines()
    line = next(line for line in lines if line.startswith('key-holder = "'))
    lines[lines.index(line)] = line.replace("key-holder", "passer-by")
    path.write_text("\n".join(lines) + "\n")
    code, found = findings(signed, capsys)
    assert code == 1
    assert found["signatures"]["key-holder"] == "missing"
    assert found["signatures"]["passer-by"] == "not a party"
    assert found["verdict"] == "somebody who is no party signed, incomplete"
    assert [problem["clause"] for problem in found["problems"]] == [
        "signatures.key-holder",
        "signatures.passer-by",
    ]
    assert sign(signed, "key-holder") == 1
    assert "error: signatures.passer-by:" in capsys.readouterr().err


def test_keys_that_came_another_way_are_compared(signed: Path, capsys: Capture) -> None:
    """Signatures that verify show one hand, not whose."""
    trust = write_trust(signed, capsys, without="student")
    code, found = findings(signed, capsys, "--trust", str(trust))
    assert code == 1
    assert [problem["clause"] for problem in found["problems"]] == ["parties.student.key"]
    text = trust.read_text()
    first = text.splitlines()[1]
    trust.write_text(text.replace(first, f'teacher-site-0 = "{"0" * 64}"') + 'else = "' + "1" * 64)
    trust.write_text(trust.read_text() + '"\n')
    code, found = findings(signed, capsys, "--trust", str(trust))
    assert code == 1
    assert [problem["clause"] for problem in found["problems"]] == [
        "parties.teacher-site-0.key",
        "parties.student.key",
    ]


@pytest.mark.parametrize(
    ("changed", "strange", "verdict"),
    [
        (False, False, "complete"),
        (True, False, "signatures do not hold"),
        (False, True, "identities do not match"),
        (True, True, "signatures do not hold, identities do not match"),
    ],
)
def test_the_verdict_says_what_is_wrong(
    changed: bool, strange: bool, verdict: str, signed: Path, capsys: Capture
) -> None:
    """Else a text that was changed behind its signers reads like one that is still to be signed."""
    trust = write_trust(signed, capsys)
    if strange:
        lines = [f'{name} = "{number:064x}"' for number, name in enumerate(PARTIES)]
        trust.write_text("\n".join(["[keys]", *lines]))
    if changed:
        set_entry(signed, "privacy.epsilon", "4.5")
    code, found = findings(signed, capsys, "--trust", str(trust))
    assert (code, found["verdict"]) == (int(changed or strange), verdict)
    assert check(signed, "--trust", str(trust)) == code
    shown = capsys.readouterr()
    assert f"Verdict: {verdict}" in shown.out
    assert ("identities checked against" in shown.out) is not strange
    assert shown.err.count("error: ") == changed + strange


def test_a_key_that_nobody_told_is_not_called_a_wrong_one(signed: Path, capsys: Capture) -> None:
    """The reader then asks for one key, and does not accuse anybody."""
    trust = write_trust(signed, capsys, without="student")
    assert findings(signed, capsys, "--trust", str(trust))[1]["verdict"] == (
        "identities not all known"
    )


def test_a_text_that_cannot_hold_is_called_so(signed: Path, capsys: Capture) -> None:
    """Whoever reads only the last line must not miss the verdict."""
    set_entry(signed, "privacy.epsilon", "3.0")
    assert check(signed) == 1
    assert "Verdict: cannot hold" in capsys.readouterr().out


def test_what_is_wrong_with_everybody_is_said_once(drafted: Path, capsys: Capture) -> None:
    """Seven times the same error hides the eighth, another one."""
    capsys.readouterr()
    assert check(drafted) == 1
    words = capsys.readouterr().err
    assert words.startswith(f"error: signatures: missing: {', '.join(PARTIES)}.\n")
    assert words.count("error: ") == 1
    _, found = findings(drafted, capsys)
    assert [problem["clause"] for problem in found["problems"]] == [
        f"signatures.{name}" for name in PARTIES
    ]


@pytest.mark.parametrize("content", ["", "[keys]\nstudent = 'x'\n", "x = 1\n", "[[", "[other]\n"])
def test_a_trust_file_that_says_nothing_is_refused(
    content: str, signed: Path, capsys: Capture
) -> None:
    """It would be taken for a check that passed."""
    trust = signed / "keys.toml"
    trust.write_text(content)
    assert check(signed, "--trust", str(trust)) == 2
    assert "keys" in capsys.readouterr().err
    assert check(signed, "--trust", str(signed / "absent.toml")) == 2


BROKEN = [
    ("version", "2", "version"),
    ("privacy.noise_multiplier", "0.5", "privacy.noise_multiplier"),
    ("privacy.epsilon", "nan", "privacy.epsilon"),
    ("privacy.epsilon", "3.0", "privacy.noise_multiplier"),
    ("privacy.agreement_budget", "3.0", "privacy.agreement_budget"),
    ("privacy.data_set_budget", "3.0", "privacy.data_set_budget"),
    ("privacy.count_floor", "0.5", "privacy.count_floor"),
    ("privacy.max_records", "2", "privacy.max_records"),
    ("privacy.count_weight", "1e9", "privacy"),
    ("features.bound", "8589934592", "features.bound"),
    ("features.scale", "1e300", "features.scale"),
    ("saliency.unit", "1e-300", "saliency.unit"),
    ("saliency.bits", "24", ""),
    ("encryption.coeff_mod_bit_sizes", "[45, 46]", "encryption"),
    ("encryption.plain_modulus", "17179754499", "encryption"),
    ("encryption.query_modulus_bits", "3000", "encryption.query_modulus_bits"),
    ("selection.minimum_cohort", "9", "selection.select"),
    ("selection.max_colluding", "3", "selection.select"),
    ("publish.sums", "false", "publish.feature_key"),
    ("publish.ciphertexts", "false", "publish.feature_key"),
    ("protection.masks", "false", "protection"),
    ("protection.dp", "false", "protection.dp"),
    ("encoder.sha256", '"x"', "encoder.sha256"),
    ("privacy.clip_norm", "1.5", "privacy.clip_norm"),
    ("encoder.dimension", "60", "encoder.dimension"),
]


@pytest.mark.parametrize(("entry", "value", "clause"), BROKEN)
def test_what_cannot_hold_is_neither_signed_nor_checked_nor_planned(
    entry: str, value: str, clause: str, drafted: Path, capsys: Capture
) -> None:
    """A party that signs such a text promises what its software will not keep."""
    set_entry(drafted, entry, value)
    path = drafted / "agreement.toml"
    before = path.read_bytes()
    if not clause:  # long, but it holds
        assert main(["plan", str(path), "--no-time"]) == 0
        return
    capsys.readouterr()
    commands: list[Callable[[], int]] = [
        lambda: sign(drafted, "student"),
        lambda: check(drafted),
        lambda: main(["plan", str(path), "--no-time"]),
    ]
    for command in commands:
        assert command() == 1
        assert capsys.readouterr().err.startswith(f"error: {clause}: ")
    code, found = findings(drafted, capsys)
    assert code == 1
    assert found["verdict"] == "cannot hold"
    assert [problem["clause"] for problem in found["problems"]] == [clause]
    assert path.read_bytes() == before


MALFORMED = [
    (b"", "custody: is missing"),
    (b"\xff\xfe", "UTF-8"),
    (b"version = 1\nversion = 1\n", "not valid TOML"),
    (b"x = " + b"[" * 5000, "not valid TOML"),
    (b"x" + b".a" * 300 + b" = 1\n", "dots"),
    (b"#" * (2**20 + 1), "longer"),
]


@pytest.mark.parametrize(("data", "words"), MALFORMED)
@pytest.mark.parametrize("command", ["sign", "check", "plan"])
def test_what_is_no_agreement_is_refused_as_input(
    data: bytes, words: str, command: str, drafted: Path, capsys: Capture
) -> None:
    """A script must tell a broken file (2) from a broken promise (1)."""
    path = drafted / "agreement.toml"
    path.write_bytes(data)
    commands = {
        "sign": lambda: sign(drafted, "student"),
        "check": lambda: check(drafted),
        "plan": lambda: main(["plan", str(path)]),
    }
    assert commands[command]() == 2
    assert words in capsys.readouterr().err
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("old", "new_text", "clause"),
    [
        ("epsilon = 4.0", "epsilom = 4.0", "privacy.epsilom"),
        ("epsilon = 4.0\n", "", "privacy.epsilon"),
        ("epsilon = 4.0", 'epsilon = "4"', "privacy.epsilon"),
        ('custody = "key-holder"', 'custody = "student"', "custody"),
        ("simulation = false", "simulation = 0", "simulation"),
        ("ciphertexts = true", "ciphertexts = 1", "publish.ciphertexts"),
    ],
)
def test_an_entry_of_the_wrong_form_is_malformed_and_named(
    old: str, new_text: str, clause: str, drafted: Path, capsys: Capture
) -> None:
    """People find their typing error by its name."""
    edit(drafted, old, new_text)
    assert check(drafted) == 2
    assert f"error: {clause}: " in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, capsys: Capture) -> None:
    """A folder or a wrong name is a usage error, not a failed check."""
    for path in (tmp_path, tmp_path / "absent.toml"):
        assert main(["agree", "check", str(path)]) == 2
        assert str(path) in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_leaves_the_text_as_it_was(
    drafted: Path, capsys: Capture
) -> None:
    """Half an agreement is none."""
    path = drafted / "agreement.toml"
    before = path.read_bytes()
    closed = drafted / "closed"
    closed.mkdir()
    shutil.move(path, closed / "agreement.toml")
    # A folder in the way of the partial file fails for every user, root included.
    (closed / f".agreement.toml.{os.getpid()}.partial").mkdir()
    state = str(drafted / "states" / "student")
    capsys.readouterr()
    assert main(["agree", "sign", str(closed / "agreement.toml"), "--state", state]) == 2
    assert "Nothing was signed" in capsys.readouterr().err
    assert (closed / "agreement.toml").read_bytes() == before


def test_a_title_cannot_steer_the_terminal(drafted: Path, capsys: Capture) -> None:
    """The text of another party is shown before it is trusted."""
    set_entry(drafted, "title", '"\\u001b[2Jgone"')
    assert sign(drafted, "student") == 0
    assert check(drafted) == 1
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err


def test_dangers_are_said_before_the_signature(drafted: Path, capsys: Capture) -> None:
    """Nobody should sign an unprotected run in passing."""
    set_entry(drafted, "simulation", "true")
    for clause in ("protection.he", "protection.masks", "publish.feature_key"):
        set_entry(drafted, clause, "false")
    assert sign(drafted, "student") == 0
    words = capsys.readouterr().out
    assert "ENCRYPTION AND MASKS ARE OFF" in words
    assert "A SIMULATION" in words
