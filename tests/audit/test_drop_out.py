"""An encrypted run that lost a teacher, closed and verified: two rosters, one opened sum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.run_folder import public_bodies
from secure_fedsa.errors import VerificationError
from secure_fedsa.messages import Release, Roster, RosterSignature, Sum, Upload
from secure_fedsa.report import claims
from secure_fedsa.signals import Encrypted, from_int64_bytes
from tests.audit import folders
from tests.audit.folders import Folder
from tests.audit.forging import Forgery, verify
from tests.engines.network import ledger_kinds, muted, opened_sums
from tests.support import make_world

LOST = "teacher-1"
LEFT = ("teacher-2", "teacher-3", "teacher-4")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, LocalRun]:
    """A run whose teacher-1 sends roster signature and mask values that reach nobody."""
    world = make_world(tmp_path_factory.mktemp("lost"))
    hook = muted(LOST, "roster-signature", "mask-share")
    run, outcome, student = folders.run_to_the_end(world, hook)
    assert outcome.problem == ""
    return folders.close(run, outcome, student), run


def said(made: Folder, kind: type[Any]) -> list[tuple[str, Any]]:
    """Return who sent the public bodies of a kind, and what they say."""
    return [
        (sender, body)
        for sender, body in public_bodies(made.outcome.envelopes)
        if isinstance(body, kind)
    ]


def test_it_verifies_and_says_who_was_in_the_sum(
    lost: tuple[Folder, LocalRun], tmp_path: Path
) -> None:
    """One lost hospital must not cost the others their receipt."""
    made, run = lost
    assert made.agreement.protection.he
    folder = made.write(tmp_path / "run")
    verdict = verify_folder(folder, made.keys)
    assert verdict.facts.members == LEFT
    assert verdict.facts.charged == (LOST, *LEFT)
    assert tuple(signer.party for signer in verdict.signers) == claims.signers(run.agreement, LEFT)
    assert {"homomorphic-sum", "decryption"} <= set(verdict.recomputed)
    assert LOST in {other.party for other in verdict.bound_by_messages}
    selected = {teacher["id"]: teacher["selected"] for teacher in made.summary["teachers"]}
    assert selected == {LOST: False, **dict.fromkeys(LEFT, True)}


def test_the_sum_is_that_of_the_second_roster_alone(lost: tuple[Folder, LocalRun]) -> None:
    """Masks of the first roster do not cancel in the second's sum, and must not be in it."""
    made, run = lost
    rosters = [body for _, body in said(made, Roster)]
    assert [(roster.number, roster.members) for roster in rosters] == [
        (1, (LOST, *LEFT)),
        (2, LEFT),
    ]
    signatures = said(made, RosterSignature)
    hashes = dict.fromkeys(body.roster_hash for _, body in signatures)
    assert len(hashes) == 2
    ((_, total),) = said(made, Sum)
    ((_, release),) = said(made, Release)
    (opened,) = opened_sums(run)
    assert total.roster_hash == release.roster_hash == opened["roster_hash"] in hashes
    uploads = dict(said(made, Upload))
    mine = {name: up for name, up in uploads.items() if up.roster_hash == total.roster_hash}
    assert tuple(mine) == LEFT
    encrypted = {name: Encrypted(up.ciphertext, up.values) for name, up in mine.items()}
    suite = suite_of(run.agreement)
    again = suite.decrypt(release.secret_key, suite.add(encrypted))
    assert np.array_equal(again.values, from_int64_bytes(release.values))
    assert "roster-opened" not in ledger_kinds(run, LOST, made.outcome.run_id)
    assert all("roster-opened" in ledger_kinds(run, name, made.outcome.run_id) for name in LEFT)


def first_roster_only(forgery: Forgery) -> str:
    forgery.remove(forgery.all("roster")[-1])
    return forgery.name(forgery.message("upload", LEFT[0]))  # it is for no roster that is there


def lost_one_counted(forgery: Forgery) -> str:
    for teacher in forgery.summary["teachers"]:
        teacher["selected"] = True
    return "summary.json"


def lost_one_signs(forgery: Forgery) -> str:
    forgery.signers = (*forgery.signers, LOST)
    return "receipt.dsse.json"


@pytest.mark.parametrize("lie", [first_roster_only, lost_one_counted, lost_one_signs])
def test_nobody_shows_it_as_a_sum_over_all(
    lie: Callable[[Forgery], str], lost: tuple[Folder, LocalRun]
) -> None:
    """A sum over three institutions would else be claimed in the name of four."""
    forgery = Forgery(folder=lost[0])
    verify(forgery.build())
    file = lie(forgery)
    with pytest.raises(VerificationError) as caught:
        verify(forgery.build())
    assert caught.value.file == file


@pytest.mark.parametrize("kind", ["ledger", "reply", "keys"])
def test_a_teacher_outside_the_sum_can_prevent_the_receipt(
    kind: str, lost: tuple[Folder, LocalRun]
) -> None:
    """SECURITY.md says so: what all refused still stands among its sender's messages."""
    forgery = Forgery(folder=lost[0])
    original = forgery.message(kind, LOST)
    second = forgery.add(kind, LOST, original.get("body"), original["header"]["recipient"])
    second["header"]["body_sha256"] = original["header"]["body_sha256"]
    with pytest.raises(VerificationError, match=f"second {kind}") as caught:
        verify(forgery.build())
    assert caught.value.file == forgery.name(second)
