"""Encrypt, add and open masked signals.

Who sends what: a teacher encrypts its *masked* signal under the key holder's public key
and uploads it, signed. Aggregator, key holder and auditor each add the same uploads and
get the same bytes. The key holder decrypts the sum.

Who learns what:

* Without the secret key: nothing about masked values or sum (BFV is IND-CPA under ring
  learning with errors). Encryption is by *public key*: a seeded ciphertext is symmetric,
  needs the secret key and carries its seed, so it can come from no honest teacher and is
  refused by its length.
* The key holder can decrypt single uploads with its own tools. It then sees masked
  values, uniform modulo t: see ``masks``. This module opens an ``Aggregate`` only.
* Noise: the ciphertext sum's noise depends on the teachers' encryption randomness,
  never on values, and nobody decrypts a function of one teacher's plaintext other than
  the sum.
* A refused decryption tells a cheating teacher one bit about the secret key. A key opens
  one sum, so it is one bit in all.

Garbage: a mutated upload, an upload under another key, and a sum that ran out of
headroom all decrypt to uniform values without an error in TenSEAL. Their noise fills the
modulus, so :func:`decrypt` measures the noise budget of every ciphertext and refuses a
sum that has less left than honest uploads are certain to leave (``parameters``). A
change of a single coefficient may still pass, and who encrypts a wrong value properly is
never noticed: against these there are signatures, and for the rest nothing.

Deterministic: adding is coefficient-wise modulo q, members in sorted order, and SEAL's
serialisation (zstd) depends on the coefficients only. ``encrypt`` and
:func:`check_published_key` draw randomness inside SEAL and from ``entropy``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from secure_fedsa.encryption.containers import read_vector, write_vector
from secure_fedsa.encryption.fixed_point import centre
from secure_fedsa.encryption.keys import (
    guarded,
    keyless_context,
    public_context,
    secret_context,
    tenseal,
)
from secure_fedsa.encryption.masks import mask_stream
from secure_fedsa.encryption.parameters import proved_noise_budget_bits
from secure_fedsa.entropy import secret_bytes
from secure_fedsa.errors import HeadroomError, ProtocolError, UsageError
from secure_fedsa.signals import Aggregate, Encrypted, IntArray, Masked, ReleasedSum, int_array

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from secure_fedsa.encryption.parameters import BfvParameters

_POLYNOMIALS = 2


def _load(
    context: Any, parameters: BfvParameters, data: bytes, values: int, party: str
) -> list[Any]:
    """Return one TenSEAL vector for each ciphertext in ``data``, all checked."""
    what = "Encrypted bytes that are no ciphertexts of the agreed parameters."
    vectors = []
    chunks = zip(
        parameters.chunk_sizes(values), read_vector(party, parameters, data, values), strict=True
    )
    for size, blob in chunks:
        single = write_vector([size], [blob])
        vector = guarded(party, what, lambda data=single: tenseal.bfv_vector_from(context, data))  # type: ignore[misc]
        ciphertexts = vector.ciphertext()
        sound = (
            vector.size() == size
            and len(ciphertexts) == 1
            and ciphertexts[0].size() == _POLYNOMIALS
            and ciphertexts[0].poly_modulus_degree() == parameters.poly_modulus_degree
            and ciphertexts[0].coeff_modulus_size() == len(parameters.coeff_mod_bit_sizes) - 1
            and not ciphertexts[0].is_ntt_form()
            and not ciphertexts[0].is_transparent()
            # One plaintext, one encoding: bytes that SEAL would write otherwise are refused.
            and vector.serialize() == single
        )
        if not sound:
            raise ProtocolError(party, what)
        vectors.append(vector)
    return vectors


def _store(parameters: BfvParameters, vectors: list[Any], values: int) -> bytes:
    blobs = []
    for size, vector in zip(parameters.chunk_sizes(values), vectors, strict=True):
        blobs += read_vector("", parameters, vector.serialize(), size)
    return write_vector(parameters.chunk_sizes(values), blobs)


def encrypt(parameters: BfvParameters, public: bytes, masked: Masked) -> Encrypted:
    """Return the masked signal encrypted under ``public`` (random, inside SEAL).

    Args:
        parameters: BFV parameters of the agreement.
        public: Public bytes of the feature key.
        masked: int64 residues, shape (n,).

    Raises:
        HeadroomError: Residues of another modulus, shape or range.
        ProtocolError: The public key is not one of these parameters.
    """
    return _encrypt(parameters, public_context(parameters, public, "key holder"), masked)


def _encrypt(parameters: BfvParameters, context: Any, masked: Masked) -> Encrypted:
    residues = masked.residues
    if masked.plain_modulus != parameters.plain_modulus:
        raise HeadroomError("The masked signal belongs to another plain modulus.")
    if residues.dtype != np.int64 or residues.ndim != 1 or not residues.size:
        raise HeadroomError("A masked signal must be int64 with one dimension.")
    if residues.min() < 0 or residues.max() >= parameters.plain_modulus:
        raise HeadroomError("A masked value is no residue of the plain modulus.")
    vectors = []
    start = 0
    for size in parameters.chunk_sizes(residues.size):
        vectors.append(tenseal.bfv_vector(context, residues[start : start + size].tolist()))
        start += size
    return Encrypted(_store(parameters, vectors, residues.size), residues.size)


def check_upload(parameters: BfvParameters, upload: Encrypted, *, values: int, party: str) -> None:
    """Check one upload as :func:`add` will, so that its sender can be told at once.

    Raises:
        ProtocolError: Not ``values`` values in well-formed ciphertexts.
    """
    _check_count(upload, values, party)
    _load(keyless_context(parameters), parameters, upload.ciphertext, values, party)


def _check_count(upload: Encrypted, values: int, party: str) -> None:
    if upload.values != values:
        raise ProtocolError(party, f"An upload of {upload.values} values; {values} were agreed.")


def add(parameters: BfvParameters, uploads: Mapping[str, Encrypted], *, values: int) -> Aggregate:
    """Return the homomorphic sum of a whole roster; the same bytes for everybody.

    Args:
        parameters: BFV parameters of the agreement.
        uploads: One upload for each member of the roster, by identity.
        values: Length of a signal.

    Raises:
        ProtocolError: An upload is malformed; the error names its member.
        UsageError: Fewer than two members: one contribution is never an aggregate.
    """
    if len(uploads) < 2:
        raise UsageError("A sum needs at least two members.")
    members = tuple(sorted(uploads, key=str.encode))
    context = keyless_context(parameters)
    total: list[Any] = []
    for member in members:
        upload = uploads[member]  # once: a caller may have to fetch it
        _check_count(upload, values, member)
        loaded = _load(context, parameters, upload.ciphertext, values, member)
        if not total:
            total = loaded
            continue
        for accumulator, vector in zip(total, loaded, strict=True):
            accumulator.add_(vector)
    return Aggregate(_store(parameters, total, values), values, members)


def decrypt(parameters: BfvParameters, secret: bytes, aggregate: Aggregate) -> ReleasedSum:
    """Return the sum's values as centred residues, int64, shape (values,).

    Args:
        parameters: BFV parameters of the agreement.
        secret: Secret bytes of the feature key.
        aggregate: The roster's sum; one teacher's upload is refused by its type.

    Raises:
        ProtocolError: Malformed bytes, or no noise budget: not a sum under this key.
        TypeError: Anything but an Aggregate.
    """
    if not isinstance(aggregate, Aggregate):
        raise TypeError("Only an Aggregate can be decrypted.")
    context = secret_context(parameters, secret)
    opener = _opener(context, parameters, len(aggregate.members))
    vectors = _load(context, parameters, aggregate.ciphertext, aggregate.values, "aggregator")
    opened = [opener(vector) for vector in vectors]
    residues = np.concatenate(opened)
    if residues.shape != (aggregate.values,):
        raise ProtocolError("aggregator", f"A sum must have {aggregate.values} values.")
    return ReleasedSum(
        int_array(centre(residues, parameters.plain_modulus)),
        tuple(sorted(aggregate.members, key=str.encode)),
    )


def _opener(context: Any, parameters: BfvParameters, parties: int) -> Callable[[Any], IntArray]:
    """Return a function that opens a sum of up to ``parties`` ciphertexts."""
    decryptor = context.data.decryptor()
    least = max(1, math.floor(proved_noise_budget_bits(parameters, parties)))

    def open_one(vector: Any) -> IntArray:
        (ciphertext,) = vector.ciphertext()
        if decryptor.invariant_noise_budget(ciphertext) < least:
            raise ProtocolError(
                "",
                "A ciphertext does not belong to this key, or ran out of noise budget.",
                why="Its decryption would be random.",
                do="Check every upload's key id and parameter hash, and that all members' "
                "uploads are in the sum.",
            )
        return np.asarray(vector.decrypt(), dtype=np.int64)

    return open_one


def check_published_key(
    parameters: BfvParameters, public: bytes, secret: bytes, *, parties: int
) -> None:
    """Check that ``secret`` opens what is encrypted under ``public`` (random).

    One full ciphertext of random residues for each of ``parties`` members, and their sum,
    must decrypt exactly. Why this suffices: see ``keys``.

    Args:
        parameters: BFV parameters of the agreement.
        public: Public bytes named in the teachers' envelopes.
        secret: Secret bytes that the key holder published.
        parties: Members of the roster whose sum was released, at least two.

    Raises:
        ProtocolError: The key is malformed or another one.
    """
    modulus, size = parameters.plain_modulus, parameters.poly_modulus_degree
    encryptor = public_context(parameters, public, "key holder")
    context = secret_context(parameters, secret, "key holder")
    opener = _opener(context, parameters, max(parties, 2))
    expected = np.zeros(size, dtype=np.int64)
    uploads = {}
    for index in range(max(parties, 2)):
        residues = mask_stream(secret_bytes(32), size, modulus)
        upload = _encrypt(parameters, encryptor, Masked(residues, modulus))
        vectors = _load(context, parameters, upload.ciphertext, size, "")
        _require_exact(opener, vectors, residues, modulus)
        expected = np.mod(expected + residues, modulus)
        uploads[f"test-{index}"] = upload
    total = add(parameters, uploads, values=size)
    vectors = _load(context, parameters, total.ciphertext, size, "")
    _require_exact(opener, vectors, expected, modulus)


def _require_exact(
    opener: Callable[[Any], IntArray], vectors: list[Any], expected: IntArray, modulus: int
) -> None:
    wrong = "The published secret key does not belong to the public key."
    try:
        opened = np.mod(np.concatenate([opener(vector) for vector in vectors]), modulus)
    except ProtocolError as error:
        raise ProtocolError("key holder", wrong) from error
    if not np.array_equal(opened, expected):
        raise ProtocolError("key holder", wrong)
