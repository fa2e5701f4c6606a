"""Numbers, names and tables of the specification's text, against the code.

The second implementation is the real test of the text. These tests keep what it cannot meet
(messages of aborted runs, limits that no run comes near) from drifting apart.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args, get_origin, get_type_hints

import pytest

from secure_fedsa import release_log
from secure_fedsa.agreement import _TABLES, Agreement
from secure_fedsa.agreement_tables import (
    Answers,
    InstitutionPrivacy,
    Party,
    Privacy,
    Promise,
    Retention,
    Route,
    Stated,
    StudentPrivacy,
    Training,
)
from secure_fedsa.audit import layout
from secure_fedsa.encryption import keys as feature_keys
from secure_fedsa.encryption.containers import BYTES, write_fields
from secure_fedsa.encryption.parameters import BfvParameters, proved_noise_budget_bits
from secure_fedsa.engines.hashes import STUDENT_DOMAIN
from secure_fedsa.messages import EVERYONE, RULES
from secure_fedsa.privacy.accountant import epsilon_of, rho_of
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.ledger_entries import _BODY_FIELDS
from secure_fedsa.privacy.mechanisms import count_unit, plan_release
from secure_fedsa.privacy.training_accountant import training_epsilon
from secure_fedsa.report import claims, notices, receipt
from secure_fedsa.roles.session import KEYS_DOMAIN, ROSTER_DOMAIN, RUN_DOMAIN
from secure_fedsa.signals import SummaryShape
from secure_fedsa.wire import agreement_signatures, envelope

FOLDER = Path(__file__).parents[2] / "protocols" / "v1"
TABLES = json.loads((FOLDER / "tables.json").read_text("utf-8"))
PAGES = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
MIB = 2**20
SIZES = {"": 65_536, "1 MiB": MIB, "64 MiB": 64 * MIB}


def rows(page: str, header: str) -> list[list[str]]:
    """Return the cells of the table that begins with a header line."""
    lines = PAGES[page].partition(header)[2].splitlines()[2:]
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    assert found, header
    return found


def words(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_kinds_is_the_codes() -> None:
    """Who implements the table would otherwise send what we refuse."""
    table = rows("messages.md", "| kind | class | from | to | limit |")
    assert [words(row[0])[0] for row in table] == list(RULES)
    for kind, message_class, senders, recipients, limit in table:
        rule = RULES[words(kind)[0]]
        assert message_class == rule.message_class
        assert roles_of(recipients) == set(rule.recipients)
        both = {"aggregator", "key-holder"}  # the agreement says which of them
        expected = both if senders == "custodian" else roles_of(senders)
        assert expected == set(rule.senders)
        assert SIZES[limit] == rule.maximum_bytes


def test_kinds_for_programs_are_those_of_the_text() -> None:
    """Whoever reads tables.json and whoever reads the page would take different messages."""
    found: dict[str, dict[str, Any]] = {}
    for kind, message_class, senders, recipients, limit in rows(
        "messages.md", "| kind | class | from | to | limit |"
    ):
        name = words(kind)[0]
        found[name] = {
            "class": message_class,
            "from": {"custodian"} if senders == "custodian" else roles_of(senders),
            "to": roles_of(recipients),
            "limit": SIZES[limit],
            "fields": fields_of(name),
        }
    assert list(found) == list(TABLES["kinds"])
    for name, kind in TABLES["kinds"].items():
        assert {**kind, "from": set(kind["from"]), "to": set(kind["to"])} == found[name]
        assert list(kind["fields"]) == list(found[name]["fields"])


def test_files_for_programs_are_those_of_the_text() -> None:
    """A folder that is too large for one reader and not for another has two verdicts."""
    found = {}
    for paths, limit in rows("verification.md", "| path | limit |"):
        for path in words(paths):
            found[path] = limit.removesuffix(" each")
    transcript = found.pop("transcript/NAME-SEQUENCE-KIND.json")
    assert transcript == "floor(4/3 of the kind's limit) + 64 KiB"
    assert TABLES["envelope_allowance"] == 64 * 1024
    sizes = {path: int(limit.removesuffix(" MiB")) * MIB for path, limit in found.items()}
    assert TABLES["ledger_limit"] == sizes.pop("ledger-NAME.jsonl")
    assert TABLES["files"] == sizes


WHEN = {
    "always": "always",
    "`publish.ciphertexts`": "ciphertexts",
    **{f"route `{route}`": route for route in get_args(Route)},
}
WORD_OF = {
    "every teacher that sent a `ledger` message": "ledger-senders",
    "the signers": "signers",
    "aggregator, key holder": "aggregator-and-key-holder",
    "summing, training": "summing-and-training",
    "stating, asking": "stating-and-asking",
}


def test_claims_for_programs_are_those_of_the_text() -> None:
    """The receipt's lists are compared as lists."""
    recomputed = [
        (name, WHEN.get(when, "opened"))
        for names, when in rows("derivations.md", "| `recomputed` | when |")
        for name in words(names)
    ]
    assert list(TABLES["recomputed"].items()) == recomputed
    attested = []
    for names, by, when in rows("derivations.md", "| `attested` | by | when |"):
        attested += [(name, WORD_OF.get(by, by)) for name in words(names)]
        for name in words(names):
            sometimes = name in TABLES["recomputed"]
            assert when == ("if not recomputed" if sometimes else "always")
    assert list(TABLES["attested"].items()) == attested


def roles_of(cell: str) -> set[str]:
    """Return the roles that a cell names."""
    if cell == "everyone":
        return set(EVERYONE)
    return {name.replace(" ", "-") for name in cell.split(", ")}


TYPES = {
    "bytes": bytes,
    "hash": str,
    "text": str,
    "integer": int,
    "list of bytes": tuple[bytes, ...],
    "list of names": tuple[str, ...],
    "list of text": tuple[str, ...],
    "list of objects": tuple[dict[str, Any], ...],
    "map of hash": dict[str, str],
    "map of bytes": dict[str, bytes],
    "map of number": dict[str, float],
}


def fields_of(kind: str) -> dict[str, str]:
    """Return the fields that the text gives a kind, and their types."""
    found = re.search(rf"\*\*`{kind}`\*\*\s+`\{{([^}}]*)\}}`", PAGES["messages.md"])
    assert found, kind
    return dict(part.split(": ") for part in " ".join(found[1].split()).split(", "))


@pytest.mark.parametrize("kind", RULES)
def test_the_fields_of_a_message_are_the_codes(kind: str) -> None:
    """A field that stands only in one of the two is refused by the other."""
    listed = fields_of(kind)
    hints = get_type_hints(RULES[kind].body)
    assert list(listed) == list(hints)
    for name, hint in hints.items():
        assert same_type(TYPES[listed[name]], hint), name


def same_type(first: Any, second: Any) -> bool:
    """Return whether two type hints are the same."""
    return (get_origin(first), get_args(first), first if not get_args(first) else None) == (
        get_origin(second),
        get_args(second),
        second if not get_args(second) else None,
    )


def test_domains_are_the_codes() -> None:
    """Another domain is another hash of everything."""
    listed = {words(row[0])[0] for row in rows("encoding.md", "| domain | value `v` | names |")}
    assert listed == {
        agreement_signatures.DOMAIN,
        envelope.DOMAIN,
        RUN_DOMAIN,
        KEYS_DOMAIN,
        "secure-fedsa/v1/query",
        "secure-fedsa/v1/probes",
        ROSTER_DOMAIN,
        release_log.DOMAIN,
        STUDENT_DOMAIN,
        receipt.TRANSCRIPT_DOMAIN,
    }


def test_the_header_is_the_codes() -> None:
    """Every signature is over it."""
    listed = [words(row[0])[0] for row in rows("encoding.md", "| member | type | meaning |")]
    header = envelope.Header(1, "", "", "", "", 0, "", "public", "")
    assert listed == list(header.to_json())


def test_the_agreements_entries_are_the_codes() -> None:
    """An entry that the text forgets can be in no agreement that somebody else writes."""
    listed: dict[str, list[str]] = {"": []}
    noisy, table = set(), ""
    for entry, _, meaning in rows("agreement.md", "| entry | type | meaning |"):
        for name in (word.strip() for word in words(entry)):
            if name.startswith("["):
                table = name.strip("[]")
                listed[table] = []
                continue
            listed[table].append(name)
            if meaning.startswith("*noisy*"):
                assert table == "privacy"
                noisy.add(name)
    top = [entry.name for entry in fields(Agreement)[:5]]
    assert listed.pop("") == top == ["version", "title", "route", "simulation", "custody"]
    assert listed.pop("parties.NAME") == [entry.name for entry in fields(Party)]
    assert listed.pop("parties.NAME.stated") == [entry.name for entry in fields(Stated)]
    assert noisy == {entry.name for entry in fields(Privacy)} - {e.name for e in fields(Promise)}
    assert listed.pop("signatures") == []
    hints = get_type_hints(Agreement) | {
        "retention": Retention,
        "privacy": Privacy,
        "training": Training,
        "answers": Answers,
        "student_privacy": StudentPrivacy,
        "institution_privacy": InstitutionPrivacy,
    }
    assert listed == {
        section.name: [entry.name for entry in fields(hints[section.name])]
        for section in fields(Agreement)[6:-1]
    }


def test_the_routes_tables_are_the_codes() -> None:
    """Who writes an agreement begins with its route."""
    names = {"privacy", "training", "answers"}
    head = "| route | teachers bring | what protects their records | has | has not |"
    for route, _, _, has, has_not in rows("agreement.md", head):
        own = {name.strip("[]") for name in words(has)} & names
        others = {name.strip("[]") for name in words(has_not)} & names
        assert own == set(_TABLES[words(route)[0]])
        assert others == names - own


def test_sizes_of_files_are_the_codes() -> None:
    """A folder that is too large for one reader and not for another has two verdicts."""
    table = {}
    for paths, limit in rows("verification.md", "| path | limit |"):
        for path in words(paths):
            table[path] = limit.removesuffix(" each")
    variable = ("transcript/NAME-SEQUENCE-KIND.json", "ledger-NAME.jsonl")
    expected = {name: f"{size // MIB} MiB" for name, size in layout.LIMITS.items()}
    expected[variable[0]] = "floor(4/3 of the kind's limit) + 64 KiB"
    expected[variable[1]] = f"{layout.LEDGER_LIMIT // MIB} MiB"
    assert table == expected
    for kind, rule in RULES.items():
        largest = rule.maximum_bytes * 4 // 3 + 65_536
        assert layout.limit_of(f"transcript/a-000-{kind}.json") == largest


def test_ledger_bodies_are_the_codes() -> None:
    """An entry of another body is a damaged ledger."""
    table: dict[str, tuple[set[str], ...]] = {}
    for kind, body in rows("derivations.md", "| kind | body"):
        name = words(kind)[0]
        table[name] = (*table.get(name, ()), set(words(body)))
    assert table == _BODY_FIELDS


def test_claims_are_listed_in_order() -> None:
    """The receipt's lists are compared as lists."""
    recomputed = [
        name for row in rows("derivations.md", "| `recomputed` | when |") for name in words(row[0])
    ]
    attested = [
        name
        for row in rows("derivations.md", "| `attested` | by | when |")
        for name in words(row[0])
    ]
    assert list(dict.fromkeys(recomputed + attested)) == list(
        dict.fromkeys([*recomputed, *claims.WORDS])
    )
    assert set(recomputed) | set(attested) == set(claims.WORDS)


def test_notices_for_programs_are_the_codes() -> None:
    """A receipt that says it in other words is refused."""
    told = TABLES["notices"]
    assert told["encryption-only"] == notices.NO_DIFFERENTIAL_PRIVACY
    assert told["floating-point"] == notices.FLOATING_POINT
    assert told["own-code"] == notices.OWN_CODE
    parties = [Party("teacher", "", ("a",), Stated(0.5, 1, 1.0))] * 2
    made = SimpleNamespace(
        route="private-training",
        teachers=("a", "b"),
        parties=dict(zip("ab", parties, strict=True)),
    )
    found = notices.notices(cast("Agreement", made))
    named = told["stated"].replace("{names}", "a, b")
    assert found == [told["floating-point"], told["own-code"], named]


def test_the_worked_example_of_a_training_is_right() -> None:
    """The text names the library's numbers: another version may have others."""
    text = " ".join(PAGES["derivations.md"].split())
    stated = re.search(
        r"noise multiplier 4, sampling rate 0\.1, 200 steps, delta `0\.00001`: epsilon `([0-9.]+)`",
        text,
    )
    assert stated
    found = training_epsilon([DpSgdTraining(4.0, 0.1, 200)], 1e-5)
    assert float(stated[1]) == pytest.approx(found, rel=1e-6)


def test_the_worked_example_of_noise_is_right() -> None:
    """It is what an implementer tries first."""
    event = plan_release(
        SummaryShape(3, 256),
        grid=65536,
        count_unit=count_unit(65536, 0.25),
        neighbours="add-remove",
        noise_multiplier=4.05,
    )
    text = " ".join(PAGES["derivations.md"].split())
    for number in (event.sensitivity, event.noise_scale, rho_of([event])):
        assert repr(number) in text
    stated = re.search(r"epsilon `(0\.99\d+)`", text)
    assert stated
    assert float(stated[1]) == pytest.approx(epsilon_of([event], 1e-5), rel=1e-12)


def test_the_examples_of_encryption_are_right() -> None:
    """Bytes that nobody can guess: parameters, headers, bounds."""
    parameters = BfvParameters()
    text = "".join(PAGES["derivations.md"].split())
    template, flags = feature_keys._template(parameters)
    assert template.hex().upper() in text
    assert flags.hex().upper() in text
    for polynomials, key in ((2, False), (2, True), (1, True)):
        least, most = parameters.object_bounds(polynomials=polynomials, key=key)
        assert f"{least:,}to{most:,}" in text
    for prime in parameters.coefficient_primes():
        assert str(prime) in text
    assert round(proved_noise_budget_bits(parameters, 3), 3) == 6.414
    assert round(proved_noise_budget_bits(parameters, 64), 4) == 1.9993
    assert write_fields([(1, BYTES, b"ab")]) == b"\x0a\x02ab"


def test_every_check_has_its_own_number() -> None:
    """An error that names a check must name one."""
    found = re.findall(r"^\* \*\*([A-P]\d+)\.\*\*", PAGES["verification.md"], re.MULTILINE)
    assert len(set(found)) == len(found)
    for letter in "ABCDEFGHIJKLMNOP":
        numbers = [int(check[1:]) for check in found if check[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    """A specification with dead links sends its reader to the code."""
    for target in re.findall(r"\]\(([^)#]+)\)", PAGES[page]):
        assert (FOLDER / target).exists(), target
