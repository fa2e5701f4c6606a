"""What the encryption tests share: parameters, keys, and a roster that masks and uploads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from secure_fedsa.encryption import fixed_point, masks
from secure_fedsa.encryption.ciphertexts import encrypt
from secure_fedsa.encryption.keys import FeatureKey, generate_feature_key
from secure_fedsa.encryption.paillier import PaillierSecret, _generate, generate_paillier
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.entropy import secret_bytes
from secure_fedsa.signals import Encrypted, Signal, int_array

IntArray = npt.NDArray[np.int64]
Upload = Callable[[dict[str, IntArray], FeatureKey], dict[str, Encrypted]]

FEATURE_BOUND = 1 << 26


@pytest.fixture(scope="session")
def parameters() -> BfvParameters:
    return BfvParameters()


@pytest.fixture(scope="session")
def feature_key(parameters: BfvParameters) -> FeatureKey:
    return generate_feature_key(parameters)


@pytest.fixture(scope="session")
def other_key(parameters: BfvParameters) -> FeatureKey:
    return generate_feature_key(parameters)


@pytest.fixture(scope="session")
def paillier_key() -> PaillierSecret:
    """The shortest key that users may have."""
    return generate_paillier(2048)


@pytest.fixture(scope="session")
def small_key() -> PaillierSecret:
    """A 256-bit key, for many cheap evaluations; no user can have it."""
    return _generate(256)


@pytest.fixture(scope="session")
def upload(parameters: BfvParameters) -> Upload:
    """Mask and encrypt every member's values, as the roles will."""

    def build(signals: dict[str, IntArray], key: FeatureKey) -> dict[str, Encrypted]:
        members = sorted(signals)
        shares = {
            (a, b): secret_bytes(masks.VALUE_BYTES) for a in members for b in members if a != b
        }
        context = masks.MaskContext("run", "features", "roster")
        uploads = {}
        for own in members:
            seeds = {
                peer: masks.pair_seed(
                    context,
                    own=own,
                    own_value=shares[own, peer],
                    peer=peer,
                    peer_value=shares[peer, own],
                )
                for peer in members
                if peer != own
            }
            encoded = fixed_point.encode(
                Signal(int_array([0]), signals[own]),
                feature_bound=FEATURE_BOUND,
                values=signals[own].size,
                plain_modulus=parameters.plain_modulus,
            )
            masked = masks.mask(encoded, own=own, members=members, seeds=seeds)
            uploads[own] = encrypt(parameters, key.public, masked)
        return uploads

    return build
