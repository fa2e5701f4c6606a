"""``--json``: a script reads one object from standard output, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa import errors
from secure_fedsa.cli.main import build_parser, main
from secure_fedsa.cli.refusals import advice, described
from secure_fedsa.engines.site import load_identity
from secure_fedsa.privacy.dp_events import event_to_dp
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.ledger import Ledger
from tests.audit.folders import honest
from tests.cli.agreements import PARTIES, set_entry

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(signed: Path) -> Path:
    """All that any command needs: parties, data, a signed agreement, a run folder."""
    honest().write(signed / "good-run")
    honest().write(signed / "bad-run")
    for name in ("one", "two"):
        load_identity(signed / "ledgers" / name)
        Ledger.create(signed / "ledgers" / name, delta=1e-5)
    (signed / "events.json").write_text(json.dumps(event_to_dp(DpSgdTraining(4.0, 0.1, 5))))
    (signed / "bad-run" / "summary.json").write_bytes(b"{}")
    return signed


def data(folder: Path) -> list[str]:
    """Return the options that name a folder's data and states."""
    return ["--data", str(folder / "data"), "--states", str(folder / "states")]


def ledger(folder: Path, action: str, *more: str) -> list[str]:
    """Return a command about the first of two empty ledgers."""
    return ["ledger", action, str(folder / "ledgers" / "one"), *more]


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "demo": lambda folder: ["demo", "--data", str(folder / "data"), "--out", str(folder / "out")],
    "keys new": lambda folder: ["keys", "new", str(folder / "new")],
    "keys show": lambda folder: ["keys", "show", str(folder / "states" / "student")],
    "agree new": lambda folder: [
        *("agree", "new", *data(folder), "--out", str(folder / "new" / "agreement.toml"))
    ],
    "agree sign": lambda folder: [
        *("agree", "sign", str(folder / "agreement.toml")),
        *("--state", str(folder / "states" / "student")),
    ],
    "agree check": lambda folder: ["agree", "check", str(folder / "agreement.toml")],
    "plan": lambda folder: ["plan", str(folder / "agreement.toml"), "--no-time"],
    "run": lambda folder: [
        *("run", str(folder / "agreement.toml"), *data(folder), "--out", str(folder / "out"))
    ],
    "erase": lambda folder: [
        *("erase", str(folder / "states" / "student")),
        *("--agreement", str(folder / "agreement.toml")),
    ],
    "verify": lambda folder: ["verify", str(folder / "good-run")],
    "report": lambda folder: ["report", str(folder / "good-run")],
    # Two canaries say nothing, so they never alarm either.
    "audit": lambda folder: ["audit", str(folder / "agreement.toml"), "--canaries", "2"],
    "ledger show": lambda folder: ledger(folder, "show"),
    "ledger plan": lambda folder: ledger(folder, "plan", "--epsilon", "1", "--budget", "2"),
    "ledger export": lambda folder: ledger(folder, "export"),
    "ledger import": lambda folder: [
        *ledger(folder, "import", str(folder / "events.json"), "--description", "survey")
    ],
    "ledger new": lambda folder: ["ledger", "new", str(folder / "new"), "--delta", "1e-5"],
    "ledger link": lambda folder: ledger(folder, "link", "--shares", str(folder / "ledgers/two")),
    "ledger disjoint": lambda folder: [
        *ledger(folder, "disjoint", "--from", str(folder / "ledgers/two"))
    ],
    "ledger limit": lambda folder: ledger(folder, "limit", "--epsilon", "3"),
    "audit --report": lambda folder: ["audit", str(folder / "good-run"), "--report"],
    "benchmark utility": lambda folder: [
        *("benchmark", "utility", "--quick", "--methods", "scratch"),
        *("--out", str(folder / "utility.json")),
    ],
}
KEYS = {
    "demo": {"run_id", "accuracy"},
    "keys new": {"state", "key"},
    "keys show": {"name", "key"},
    "agree new": {"file", "encoder", "agreement", "title", "to_sign"},
    "agree sign": {"agreement", "title", "party", "signed_before", "to_sign"},
    "agree check": {"agreement", "verdict", "signatures", "problems"},
    "plan": {"agreement", "accounting", "bytes", "signatures"},
    "run": {"run_id", "accuracy"},
    "erase": {"agreement", "party", "day", "removed", "not_removed"},
    "verify": {"verdict", "run_id", "recomputed"},
    "report": {"verdict", "report"},
    "audit": {"agreement", "verdict", "alarms", "teachers"},
    "ledger show": {"data_set", "spent", "by_run", "by_agreement", "by_view", "accountants"},
    "ledger plan": {"runs", "one_run", "fits", "budgets"},
    "ledger export": {"data_set", "charges", "dp_event", "spent"},
    "ledger import": {"charged", "before", "after"},
    "ledger new": {"data_set", "spent"},
    "ledger link": {"linked", "spent"},
    "ledger disjoint": {"data_sets", "key", "signature", "statement"},
    "ledger limit": {"limit", "spent"},
    "audit --report": {"form", "verdict", "run_id", "answers", "registry"},
    "benchmark utility": {"file", "page", "rows"},
}


def asked(capsys: Capture, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, the one object on standard output, and standard error."""
    capsys.readouterr()
    code = main([*arguments, "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return code, found, said.err


def leaves(parser: Any, name: str = "") -> set[str]:
    """Return every command of a parser that does something."""
    for action in parser._actions:
        if action.choices and hasattr(action, "add_parser"):
            return set().union(
                *(leaves(sub, f"{name} {word}".strip()) for word, sub in action.choices.items())
            )
    return {name}


def test_every_command_has_it() -> None:
    """A new command must be asked here too."""
    assert leaves(build_parser()) == {name.split(" --")[0] for name in COMMANDS}
    assert set(COMMANDS) == set(KEYS)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_success_is_one_object(name: str, folder: Path, capsys: Capture) -> None:
    """A line of progress in between, and the script that reads it breaks."""
    arguments = COMMANDS[name](folder)
    if name == "run":
        arguments[1] = str(any_score(folder, capsys))
    if name == "erase":
        arguments[3] = str(any_score(folder, capsys, "--log-days", "30"))
    code, found, _ = asked(capsys, *arguments)
    assert code == 0
    assert found.keys() >= KEYS[name]
    assert "error" not in found


def any_score(folder: Path, capsys: Capture, *more: str) -> Path:
    """Return another agreement, signed, under which the toy teachers are selected."""
    path = folder / "any" / "agreement.toml"
    flags = ("--threshold", "-100", "--epsilon", "4", "--records", "400", *more)
    assert main(["agree", "new", *data(folder), "--out", str(path), *flags]) == 0
    for party in PARTIES:
        state = folder / "states" / party
        assert main(["agree", "sign", str(path), "--state", str(state)]) == 0
    capsys.readouterr()
    return path


REFUSED: dict[str, tuple[list[str], int]] = {
    "demo": (["demo", "--data", "{}/absent", "--out", "{}/out"], 2),
    "keys new": (["keys", "new", "{}/states/student"], 2),
    "keys show": (["keys", "show", "{}/absent"], 2),
    "agree new": (["agree", "new", "--probes", "{}/absent.npy", "--out", "{}/new.toml"], 2),
    "agree sign": (["agree", "sign", "{}/agreement.toml", "--state", "{}/absent"], 2),
    "agree check": (["agree", "check", "{}/absent.toml"], 2),
    "plan": (["plan", "{}/absent.toml"], 2),
    "run": (["run", "{}/absent.toml", "--data", "{}/data", "--states", "{}/states"], 2),
    "erase": (["erase", "{}/states/student", "--agreement", "{}/absent.toml"], 2),
    "verify": (["verify", "{}/absent"], 2),
    "report": (["report", "{}/absent"], 2),
    "audit": (["audit", "{}/absent", "--canaries", "10"], 2),
    "ledger show": (["ledger", "show", "{}/absent"], 2),
    "ledger plan": (["ledger", "plan", "{}/absent", "--epsilon", "1"], 2),
    "ledger export": (["ledger", "export", "{}/absent"], 2),
    "ledger import": (["ledger", "import", "{}/absent", "{}/absent", "--description", "x"], 2),
    "ledger new": (["ledger", "new", "{}/new", "--parent", "{}/absent"], 2),
    "ledger link": (["ledger", "link", "{}/absent", "--shares", "{}/absent"], 2),
    "ledger disjoint": (["ledger", "disjoint", "{}/absent", "--from", "{}/absent"], 2),
    "ledger limit": (["ledger", "limit", "{}/absent", "--epsilon", "1"], 2),
    "audit --report": (["audit", "{}/absent", "--report"], 2),
    "benchmark utility": (["benchmark", "utility", "--out", "{}/absent.txt"], 2),
}


@pytest.mark.parametrize("name", [*COMMANDS, "no such command", "no such option"])
def test_a_refusal_is_one_object_that_says_what_to_do(
    name: str, signed: Path, capsys: Capture
) -> None:
    """A script that gets no object can only say that something went wrong."""
    if name == "no such command":
        arguments, expected = ["absent"], 2
    elif name == "no such option":
        arguments, expected = ["plan", "x", "--absent"], 2
    else:
        arguments, expected = REFUSED[name]
    arguments = [word.format(signed) for word in arguments]
    code, found, words = asked(capsys, *arguments)
    assert code == expected
    assert found.keys() == {"error"}
    assert found["error"].keys() >= {"what", "why", "do"}
    assert found["error"]["what"]
    assert found["error"]["do"]
    # People are told the same.
    assert words.startswith(f"error: {found['error']['what']}")
    assert found["error"]["do"] in words


def test_a_clause_that_cannot_hold_is_named(signed: Path, capsys: Capture) -> None:
    """By it a script finds the entry; ``plan`` and ``agree check`` say it in the same words."""
    set_entry(signed, "privacy.delta", "2.0")
    path = str(signed / "agreement.toml")
    code, planned, _ = asked(capsys, "plan", path)
    assert code == 1
    assert planned["error"]["clause"] == "privacy.delta"
    assert planned["error"]["what"] == "must be below 1."
    code, checked, _ = asked(capsys, "agree", "check", path)
    assert code == 1
    assert checked["problems"] == [planned["error"]]


def test_all_wrong_signatures_are_named(signed: Path, capsys: Capture) -> None:
    """Who asks only the first one asks again after every answer."""
    set_entry(signed, "title", '"Another"')
    path = str(signed / "agreement.toml")
    state = ("--state", str(signed / "states" / "student"))
    code, found, _ = asked(capsys, "agree", "sign", path, *state)
    assert code == 1
    assert found["error"]["clause"] == "signatures"
    assert found["error"]["what"] == f"wrong: {', '.join(PARTIES[:-1])}."
    code, found, words = asked(capsys, "agree", "check", path)
    assert [problem["clause"] for problem in found["problems"]] == [
        f"signatures.{name}" for name in PARTIES
    ]
    assert f"error: signatures: do not verify: {', '.join(PARTIES)}." in words


@pytest.mark.slow
@pytest.mark.parametrize("name", ["verify", "report"])
def test_a_folder_that_does_not_verify(name: str, folder: Path, capsys: Capture) -> None:
    """Both commands judge alike, and say what a reader can do: nobody can mend a receipt."""
    code, found, words = asked(capsys, name, str(folder / "bad-run"))
    assert code == 1
    assert found["verdict"] == "failed"
    assert found.keys() == {"verdict", "file", "reason"}
    assert f"error: {found['file']}: " in words
    assert "Do not use the result. Ask those who signed the run for its folder again" in words


PLACED = (errors.AgreementError, errors.ProtocolError, errors.VerificationError)


def kinds(base: type[errors.SecureFedsaError]) -> set[type[errors.SecureFedsaError]]:
    """Return an error and all that derive from it."""
    return {base}.union(*(kinds(kind) for kind in base.__subclasses__()))


def test_no_error_leaves_a_reader_without_advice() -> None:
    """Lower floors know what is wrong, not always what the person at the command can do."""
    for kind in kinds(errors.SecureFedsaError):
        words = ("x", "y") if issubclass(kind, PLACED) else ("y",)
        error = kind(*words)
        assert advice(error)
        assert described(error)["do"] == advice(error)
