"""The example agreements: what people copy first."""

from __future__ import annotations

import tomllib
from typing import get_args

import pytest

from secure_fedsa.agreement import Agreement, parse
from secure_fedsa.agreement_tables import Route
from secure_fedsa.planning import plan
from secure_fedsa.wire.agreement_signatures import verify_signatures
from tests.protocols import example_agreements
from tests.protocols.test_schemas import errors


def text_of(name: str) -> str:
    """Return an example's text."""
    return (example_agreements.FOLDER / name).read_text("utf-8")


def agreement_of(name: str) -> Agreement:
    """Return an example, parsed and checked."""
    return parse(text_of(name))


@pytest.mark.parametrize("name", example_agreements.NAMES)
def test_an_example_parses_holds_and_is_signed(name: str) -> None:
    """Who copies an example that does not run gives up, or drops the clause that refuses it."""
    agreement = agreement_of(name)
    verify_signatures(agreement)
    assert not agreement.simulation
    accounting = plan(agreement).accounting
    if agreement.privacy is None:
        assert accounting is None
    else:
        assert accounting is not None
        promised = agreement.privacy.epsilon
        assert 0.99 * promised < accounting.epsilon <= promised


@pytest.mark.parametrize("name", example_agreements.NAMES)
def test_an_example_fits_the_schema(name: str) -> None:
    """The schema describes the file that people write."""
    assert errors("agreement", tomllib.loads(text_of(name))) == []


@pytest.mark.parametrize("name", example_agreements.NAMES)
def test_keys_and_signatures_are_the_published_test_keys(name: str) -> None:
    """Keys that are not named as test keys could be taken for somebody's."""
    assert example_agreements.filled(name, text_of(name)) == text_of(name)
    assert "TEST KEYS" in text_of(name).partition("version")[0]


def test_examples_show_both_custody_modes_and_both_ends_of_publishing() -> None:
    """They are there to be compared."""
    everything, little = agreement_of("hospitals.toml"), agreement_of("banks.toml")
    assert (everything.custody, little.custody) == ("key-holder", "aggregator")
    shown, kept = everything.publish, little.publish
    assert (shown.scores, kept.scores) == ("values", "none")
    assert (shown.ciphertexts, shown.sums, shown.feature_key) == (True, True, True)
    assert (kept.ciphertexts, kept.sums, kept.feature_key) == (False, False, False)


def test_examples_show_every_route() -> None:
    """A route without an example is written by guessing."""
    found = {agreement_of(name).route for name in example_agreements.NAMES}
    assert found == set(get_args(Route))
    clinics = agreement_of("clinics.toml")
    assert [name for name in clinics.teachers if clinics.parties[name].stated] == ["clinic-d"]
    assert "NO DIFFERENTIAL PRIVACY" in text_of("suppliers.toml").partition("version")[0]


@pytest.mark.parametrize("name", example_agreements.NAMES)
def test_an_example_explains_its_choices(name: str) -> None:
    """An agreement without comments is read by nobody who has to sign it."""
    lines = [line for line in text_of(name).splitlines() if line]
    assert sum("#" in line for line in lines) > 20


def test_every_example_is_listed() -> None:
    """A file that no test knows may be wrong."""
    found = {path.name for path in example_agreements.FOLDER.glob("*.toml")}
    assert found == set(example_agreements.NAMES)
    readme = text_of("README.md")
    for name in found:
        assert f"({name})" in readme
    assert example_agreements.ENCODER_TEXT in readme
    assert example_agreements.PROBES_TEXT in readme
    assert example_agreements.KEY_TEXT.partition("{")[0] in readme
