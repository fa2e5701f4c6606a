"""A run with noise that somebody can repeat: marked wherever it is shown, and never closed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from secure_fedsa.audit import closing
from secure_fedsa.audit.evidence import InMemory
from secure_fedsa.audit.verify import verify_evidence
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.entropy import SeededNoise
from secure_fedsa.errors import VerificationError
from secure_fedsa.report import claims, receipt
from secure_fedsa.wire import canonical
from secure_fedsa.wire.agreement_signatures import agreement_hash
from secure_fedsa.wire.envelope import parse
from tests.audit import folders
from tests.engines.network import opened_sums
from tests.support import make_world

MARK = "SIMULATED NOISE"
REFUSED = "agreement.toml: simulation: is true."


def signed_by_all(
    run: LocalRun, files: dict[str, bytes], hashes: list[str], run_id: str
) -> dict[str, bytes]:
    """Return files with a true receipt that its signers signed without looking."""
    members = run.agreement.teachers
    statement = receipt.statement_of(
        run.agreement,
        agreement_hash=agreement_hash(run.agreement),
        run_id=run_id,
        envelope_hashes=hashes,
        members=members,
        charged=members,
        files=files,
    )
    payload = receipt.payload_of(statement)
    names = claims.signers(run.agreement, members)
    signatures = [receipt.sign(payload, run.own_record(name).identity) for name in names]
    return {**files, receipt.FILE_NAME: receipt.assemble(payload, signatures)}


@pytest.mark.slow
def test_seeded_noise_is_marked_everywhere_and_gets_no_receipt(tmp_path: Path) -> None:
    """Whoever knows the seed subtracts the noise: nobody may take such a run for a private one."""
    world = make_world(tmp_path, 3, protection={"he": False, "masks": False}, simulation=True)
    world.noise = SeededNoise(5)
    run, outcome, student = folders.run_to_the_end(world)
    assert outcome.problem == ""
    facts = folders.facts_of(run, outcome)
    log = run.sites["key-holder"].release_log
    assert log is not None
    files, summary = closing.proposal(outcome.envelopes, log.entries(), facts, student)

    assert summary["simulated"] is True
    assert canonical.decode(files["summary.json"])["simulated"] is True
    assert tomllib.loads(files["agreement.toml"].decode())["simulation"] is True
    for name in ("report.html", "student/model-card.md"):
        text = files[name].decode()
        assert MARK in text, name
        assert "No differential privacy claim holds" in text, name
        assert "is differentially private with" not in text, name

    with pytest.raises(VerificationError, match=r"does not sign: simulation: is true"):
        closing.run_files(run, outcome, facts, student)
    hashes = [parse(data).hash for data in outcome.envelopes]
    unmarked = canonical.encode({**summary, "simulated": False})
    for summary_file in (files["summary.json"], unmarked):
        shown = {**files, "summary.json": summary_file}
        closed = signed_by_all(run, shown, hashes, outcome.run_id)
        with pytest.raises(VerificationError) as caught:
            verify_evidence(InMemory(closed))
        assert str(caught.value).startswith(REFUSED)
    assert len(opened_sums(run)) == 1
    run.discard()
