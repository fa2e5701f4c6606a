"""The receipt's two lists: what is recomputed, and whose word the rest is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secure_fedsa.report import claims
from tests.report import runs


@pytest.mark.parametrize("he", [True, False])
@pytest.mark.parametrize("ciphertexts", [True, False])
@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("feature_key", [True, False])
def test_every_claim_stands_in_exactly_one_list(
    he: bool, ciphertexts: bool, sums: bool, feature_key: bool
) -> None:
    """What nobody can recompute must be somebody's word, and never both or neither."""
    made = runs.agreement(he=he)
    publish = replace(made.publish, ciphertexts=ciphertexts, sums=sums, feature_key=feature_key)
    agreed = replace(made, publish=publish)
    found = claims.recomputed(agreed)
    attested = claims.attested(agreed, ["teacher-1", "teacher-2"], agreed.teachers)
    names = [entry["claim"] for entry in attested]
    assert sorted(found + names) == sorted(claims.WORDS)
    assert found == [claim for claim in claims.WORDS if claim in found]
    assert ("homomorphic-sum" in found) == ciphertexts
    assert ("decryption" in found) == (ciphertexts and sums and (feature_key or not he))
    for entry in attested:
        assert entry["by"] == sorted(set(entry["by"]))
        assert set(entry["by"]) <= set(agreed.parties)
        assert entry["by"]


def test_whose_word_each_claim_is() -> None:
    """Somebody who was not there would be blamed, and somebody who was would not."""
    agreed = replace(runs.agreement(), custody="aggregator")
    members, charged = ("teacher-1", "teacher-2"), ("teacher-1", "teacher-2", "teacher-3")
    entries = claims.attested(agreed, members, charged)
    by = {entry["claim"]: entry["by"] for entry in entries}
    signers = ["aggregator", "key-holder", *members]
    assert by == {
        "data-was-real": [*charged],
        "private-summary": [*charged],
        "noise-was-drawn": [*charged],
        "selection": ["aggregator", "key-holder"],
        "one-release": ["aggregator"],
        "erasure": signers,
        "student-training": ["student"],
        "accuracy": ["aggregator"],
        "sizes-and-times": ["aggregator"],
    }
    assert claims.signers(agreed, members) == tuple(signers)
