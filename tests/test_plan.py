"""A plan refuses what cannot keep its promise, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from secure_fedsa import agreement as ag
from secure_fedsa.errors import AgreementError
from secure_fedsa.plan import plan
from secure_fedsa.privacy.mechanisms import calibrate
from tests.support import toy_agreement

ROLES = ("aggregator", "key-holder", "student")


def agreement(teachers: int = 4, **changes: Any) -> ag.Agreement:
    """Return an unsigned toy agreement with real encryption parameters."""
    names = [f"teacher-{number}" for number in range(1, teachers + 1)]
    keys = {name: f"{number:064x}" for number, name in enumerate((*names, *ROLES), 1)}
    return toy_agreement(keys, **changes)


def test_a_plan_says_what_the_run_spends_and_sends() -> None:
    """People decide by these numbers."""
    found = plan(agreement())
    assert 0 < found.accounting.epsilon <= 4.0
    assert found.headroom is not None
    assert found.headroom.noise_budget_bits > 1
    assert found.collusion_bits is not None
    assert found.smallest_sum == 3
    assert set(found.to_json()) >= {"accounting", "headroom", "collusion_bits", "upload_bytes"}


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.999])
def test_too_little_noise_for_the_epsilon_is_refused(factor: float) -> None:
    """The agreement would promise a privacy that the noise does not give."""
    weak = {"noise_multiplier": factor * calibrate(4.0, 1e-5)}
    with pytest.raises(AgreementError, match="gives epsilon") as error:
        plan(agreement(privacy=weak))
    assert error.value.clause == "privacy.noise_multiplier"


@pytest.mark.parametrize("he", [True, False])
def test_more_teachers_than_the_modulus_holds_are_refused(he: bool) -> None:
    """A sum that wraps is a wrong sum without an error, in both arms."""
    arm = {"he": he, "masks": he}
    modulus = agreement().encryption.plain_modulus
    roomy = {"bound": modulus // (2 * 4) - 1}
    plan(agreement(protection=arm, features=roomy))
    with pytest.raises(AgreementError, match="could wrap"):
        plan(agreement(5, protection=arm, features=roomy))


def test_a_noise_budget_that_could_run_out_is_refused() -> None:
    """BFV without noise budget decrypts to random numbers without an error."""
    short = {"coeff_mod_bit_sizes": (45, 46)}
    with pytest.raises(AgreementError, match="noise budget") as error:
        plan(agreement(encryption=short))
    assert error.value.clause == "encryption"


def test_scores_too_wide_for_64_bits_are_refused() -> None:
    """Without encryption they are added in 64-bit integers."""
    wide: dict[str, Any] = {
        "encoder": {"dimension": 2048},
        "saliency": {"directions": 2048, "bits": 24},
    }
    with pytest.raises(AgreementError, match="saliency"):
        plan(agreement(protection={"he": False, "masks": False}, **wide))


def test_a_plan_checks_the_agreement_itself() -> None:
    """Who plans first and signs later must meet the same refusals."""
    with pytest.raises(AgreementError, match="can never be opened"):
        plan(agreement(selection={"minimum_cohort": 9}))
