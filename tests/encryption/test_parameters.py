"""BFV parameters: if these fail, a sum could silently be wrong or the key too weak."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tenseal
from tenseal import sealapi

from secure_fedsa.encryption import keys
from secure_fedsa.encryption.ciphertexts import _load, encrypt
from secure_fedsa.encryption.keys import FeatureKey
from secure_fedsa.encryption.parameters import (
    BfvParameters,
    check_headroom,
    proved_noise_budget_bits,
)
from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import HeadroomError, UsageError
from secure_fedsa.signals import Masked


@pytest.mark.parametrize(
    "changes",
    [
        {"coeff_mod_bit_sizes": (55, 55)},
        {"coeff_mod_bit_sizes": (54,)},
        {"coeff_mod_bit_sizes": (10, 54)},
        {"poly_modulus_degree": 2048},
        {"poly_modulus_degree": 5000},
        {"plain_modulus": 17179754499},
        {"plain_modulus": 1032193 + 8192},
        {"plain_modulus": 0},
        {"plain_modulus": 17179754497.0},
        {"coeff_mod_bit_sizes": (54.0, 55)},
        {"poly_modulus_degree": True},
        {"plain_modulus": 18014398509309953},  # the first prime of 54 bits is the ciphertexts'
        # There are not that many primes of 20 bits that are 1 modulo 32768.
        {"poly_modulus_degree": 16384, "coeff_mod_bit_sizes": (20,) * 21},
    ],
)
def test_insecure_or_unbatchable_parameters_are_refused(changes: dict[str, Any]) -> None:
    """A teacher would encrypt under a key that can be broken, or lose its values."""
    with pytest.raises(UsageError):
        BfvParameters(**changes)


def test_dictionary_keeps_everything_and_refuses_the_rest() -> None:
    """Parties would compute under parameters that they did not sign."""
    parameters = BfvParameters()
    assert BfvParameters.from_dict(parameters.to_dict()) == parameters
    for broken in (
        {},
        {**parameters.to_dict(), "extra": 1},
        {**parameters.to_dict(), "scheme": "ckks"},
        {**parameters.to_dict(), "coeff_mod_bit_sizes": "54,55"},
        {**parameters.to_dict(), "plain_modulus": "17179754497"},
    ):
        with pytest.raises(UsageError):
            BfvParameters.from_dict(broken)


@pytest.mark.parametrize("sizes", [(54, 55), (43, 43, 44, 44, 44), (60, 49, 60)])
def test_primes_are_those_of_seal(sizes: tuple[int, ...]) -> None:
    """The proof of headroom would be about another modulus than the library's."""
    degree = 4096 if len(sizes) == 2 else 8192
    ours = BfvParameters(degree, sizes).coefficient_primes()
    seals = sealapi.CoeffModulus.Create(degree, list(sizes))
    assert list(ours) == [modulus.value() for modulus in seals]


def test_headroom_refuses_every_sum_that_could_wrap() -> None:
    """A released sum would be off by the plain modulus and look plausible."""
    parameters = BfvParameters()
    limit = (parameters.plain_modulus - 1) // 2
    assert check_headroom(parameters, parties=1, feature_bound=limit, values=1).value_bits >= 0
    for parties, bound, count in ((1, limit + 1, 0), (8, limit // 8 + 1, 0), (8, 10, limit)):
        with pytest.raises(HeadroomError, match="wrap"):
            check_headroom(
                parameters, parties=parties, feature_bound=bound, values=1, count_bound=count
            )


def test_headroom_refuses_too_many_parties_and_too_much_of_a_modulus() -> None:
    """Noise would eat the sum; TenSEAL would return uniform values without an error."""
    parameters = BfvParameters()
    report = check_headroom(parameters, parties=64, feature_bound=1 << 26, values=32897)
    assert report.noise_budget_bits > 1.9
    assert report.ciphertexts == 9
    with pytest.raises(HeadroomError, match="noise"):
        check_headroom(parameters, parties=200, feature_bound=1, values=1)
    wide = BfvParameters(plain_modulus=68719230977)
    with pytest.raises(HeadroomError, match="noise"):
        check_headroom(wide, parties=64, feature_bound=1, values=1)
    with pytest.raises(UsageError):
        check_headroom(parameters, parties=64, feature_bound=1, values=0)
    with pytest.raises(UsageError):
        check_headroom(parameters, parties=0, feature_bound=1, values=1)


def test_measured_noise_stays_within_the_proved_bound(
    parameters: BfvParameters, feature_key: FeatureKey
) -> None:
    """The analytic bound would be wrong, and with it every promise of ``plan``."""
    context = keys.secret_context(parameters, feature_key.secret)
    decryptor = context.data.decryptor()
    values = public_generator(0, "noise").integers(0, parameters.plain_modulus, 4096)
    upload = encrypt(parameters, feature_key.public, Masked(values, parameters.plain_modulus))
    (fresh,) = _load(context, parameters, upload.ciphertext, 4096, "")
    # The same ciphertext 64 times: noise adds up in one direction, the worst case.
    (total,) = _load(context, parameters, upload.ciphertext, 4096, "")
    for parties in range(2, 65):
        total.add_(fresh)
        measured = decryptor.invariant_noise_budget(total.ciphertext()[0])
        assert measured >= int(proved_noise_budget_bits(parameters, parties))
    expected = np.mod(values * 64, parameters.plain_modulus)
    assert np.array_equal(np.mod(total.decrypt(), parameters.plain_modulus), expected)


def test_a_modulus_that_headroom_refuses_really_fails() -> None:
    """The refusal would be timid rather than needed: TenSEAL is silently wrong here."""
    plain_modulus = 1125899906826241
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        4096,
        plain_modulus=plain_modulus,
        coeff_mod_bit_sizes=[54, 55],
        n_threads=1,
    )
    total = tenseal.bfv_vector(context, [1] * 4096)
    for _ in range(63):
        total.add_(tenseal.bfv_vector(context, [1] * 4096))
    assert total.decrypt() != [64] * 4096
    with pytest.raises(HeadroomError, match="noise"):
        check_headroom(
            BfvParameters(plain_modulus=plain_modulus), parties=64, feature_bound=1, values=1
        )
