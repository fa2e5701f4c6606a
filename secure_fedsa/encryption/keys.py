"""The feature key: one BFV key pair a run, made by the party that has custody.

Who sends what: the key holder makes the pair and publishes the public bytes in a signed
envelope. Teachers check and use them. The secret bytes stay with the key holder until
the release; the agreement may then publish them.

Who learns what: the public bytes hold one BFV public key and the agreed parameters. No
secret key, no relinearisation and no Galois keys (TenSEAL puts the former into every
"public" context by default): nobody can multiply or rotate, and nothing is there that
is encrypted under the secret's square. What a dishonest key holder gains with a strange
public key is what it gains with the secret key, masked values: masks protect singles
from it in any case.

Publishing the secret key: any secret key of the same parameters decrypts any sum to
*something*. :func:`check_published_key` therefore encrypts random vectors under the
public key that the teachers used, adds them as a roster would, and requires the
published key to decrypt all of it exactly. Suppose ``s' != s`` passes. Then every
coefficient of ``c1 (s' - s)`` is small in all of these fresh ciphertexts. For an honestly
made key ``c1`` is computationally uniform modulo q, so this does not happen. A cheat may
make a key with two secrets; but the test's ciphertexts and sum are drawn as honest
teachers draw theirs, so a difference that shows in the real sum with some probability
shows in the test's with the same. Not covered: key holder *and* a selected teacher, who
can agree on an upload that opens in two ways under such a key. They could have poisoned
the sum anyway.

Bytes: TenSEAL context containers (``tensealcontext.proto``), rebuilt here around the
agreed parameters, with only a public or only a secret key inside. Key id: SHA-256 of
the public bytes. SEAL draws keys from the operating system's generator.

Sharp edge: TenSEAL dereferences a null pointer when a context without a public key, or a
vector tied to one, is copied or serialised with its defaults. Nothing here does so.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from secure_fedsa.encryption.containers import (
    BYTES,
    Field,
    check_seal_object,
    read_fields,
    write_fields,
)
from secure_fedsa.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from secure_fedsa.encryption.parameters import BfvParameters

# TenSEAL has no type information; only this module and ``ciphertexts`` touch it.
tenseal: Any = importlib.import_module("tenseal")

Result = TypeVar("Result")

_PARAMETERS, _PUBLIC, _PRIVATE, _KEY = 1, 2, 3, 1
#: What pybind11 makes of C++ exceptions.
_LIBRARY_ERRORS = (ValueError, RuntimeError, TypeError, IndexError, OverflowError, MemoryError)


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """One run's feature key.

    Attributes:
        secret: TenSEAL context bytes with the secret key only; not shown by ``repr``.
        public: TenSEAL context bytes with the public key only.
    """

    secret: bytes = field(repr=False)
    public: bytes

    @property
    def key_id(self) -> str:
        """SHA-256 of the public bytes, in hex."""
        return key_id(self.public)


def key_id(public: bytes) -> str:
    """Return the identifier of a public key: SHA-256 of its bytes, in hex."""
    return hashlib.sha256(public).hexdigest()


def guarded(party: str, what: str, function: Callable[[], Result]) -> Result:
    """Return ``function()``; an exception of TenSEAL becomes a ProtocolError of ``party``."""
    try:
        return function()
    except _LIBRARY_ERRORS as error:
        raise ProtocolError(
            party, what, why=f"TenSEAL refused it ({type(error).__name__})."
        ) from error


def _fresh_context(parameters: BfvParameters) -> Any:
    return tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        parameters.poly_modulus_degree,
        plain_modulus=parameters.plain_modulus,
        coeff_mod_bit_sizes=list(parameters.coeff_mod_bit_sizes),
        encryption_type=tenseal.ENCRYPTION_TYPE.ASYMMETRIC,
        n_threads=1,
    )


def _serialise(context: Any, *, keys: bool) -> bytes:
    return bytes(
        context.serialize(
            save_public_key=keys,
            save_secret_key=keys,
            save_galois_keys=False,
            save_relin_keys=False,
        )
    )


@lru_cache(maxsize=8)
def _template(parameters: BfvParameters) -> tuple[bytes, bytes]:
    """Return (encryption parameters, flags) as TenSEAL writes them for a keyless context."""
    fields = read_fields(_serialise(_fresh_context(parameters), keys=False))
    match fields:
        case [(1, 2, bytes(encryption_parameters)), (2, 2, bytes(flags))]:
            return encryption_parameters, flags
    raise ProtocolError("", "This version of TenSEAL writes contexts in an unknown form.")


def _compose(parameters: BfvParameters, *, public: bytes = b"", secret: bytes = b"") -> bytes:
    """Return a context container with at most one public and one secret key."""
    encryption_parameters, flags = _template(parameters)
    key: list[Field] = [(_KEY, BYTES, public)] if public else []
    fields: list[Field] = [
        (_PARAMETERS, BYTES, encryption_parameters),
        (_PUBLIC, BYTES, write_fields(key) + flags),
    ]
    if secret:
        fields.append((_PRIVATE, BYTES, write_fields([(_KEY, BYTES, secret)])))
    return write_fields(fields)


def _take_key(part: int, data: bytes, party: str = "") -> bytes:
    """Return the key inside part ``part`` of a context container, or no bytes."""
    for number, _, message in read_fields(data, party):
        if number == part and isinstance(message, bytes):
            for inner, _, value in read_fields(message, party):
                if inner == _KEY and isinstance(value, bytes):
                    return value
    return b""


def _load(party: str, data: bytes) -> Any:
    return guarded(
        party, "A feature key that cannot be read.", lambda: tenseal.context_from(data, n_threads=1)
    )


def generate_feature_key(parameters: BfvParameters) -> FeatureKey:
    """Return a fresh feature key (random: the operating system, inside SEAL)."""
    data = _serialise(_fresh_context(parameters), keys=True)
    return FeatureKey(
        secret=_compose(parameters, secret=_take_key(_PRIVATE, data)),
        public=_compose(parameters, public=_take_key(_PUBLIC, data)),
    )


def public_context(parameters: BfvParameters, public: bytes, party: str = "") -> Any:
    """Return a TenSEAL context that can encrypt; ``party`` published the key.

    Raises:
        ProtocolError: Not one public key of exactly these parameters.
    """
    blob = _take_key(_PUBLIC, public, party)
    if _compose(parameters, public=blob) != public:
        raise ProtocolError(
            party,
            "The public feature key is not one key of the agreed parameters.",
            do="Make sure that all parties use the same TenSEAL and agreement.",
        )
    check_seal_object(party, blob, parameters.object_bounds(polynomials=2, key=True))
    return _load(party, public)


def secret_context(parameters: BfvParameters, secret: bytes, party: str = "") -> Any:
    """Return a TenSEAL context that can decrypt; ``party`` published the key.

    Raises:
        ProtocolError: Not one secret key of exactly these parameters.
    """
    blob = _take_key(_PRIVATE, secret, party)
    if _compose(parameters, secret=blob) != secret:
        raise ProtocolError(party, "The secret feature key is not one of the agreed parameters.")
    check_seal_object(party, blob, parameters.object_bounds(polynomials=1, key=True))
    return _load(party, secret)


@lru_cache(maxsize=8)
def keyless_context(parameters: BfvParameters) -> Any:
    """Return a TenSEAL context without keys, which can only add."""
    return _load("", _compose(parameters))
