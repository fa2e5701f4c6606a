"""Pairwise masks: they cancel in the sum of the whole roster and nowhere else.

Source: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine
Learning" (CCS 2017), section 4, without the recovery of drop-outs.

Who sends what
--------------
1. Every member i draws for every other member j a fresh 32-byte value and sends it to j,
   sealed and signed. So the pair {i, j} holds two values, one from each.
2. Both compute ``seed = HKDF-SHA256(value of first || value of second, info)``, where
   first < second as UTF-8 bytes and ``info`` names version, run, phase, roster hash, both
   identities and the direction (the first adds, the second subtracts), each with its
   length in front, so that no two different infos have the same bytes.
3. Each expands the seed into as many residues modulo t as the signal has, uniform by
   rejection; the first adds them to its signal, the second subtracts them.

Who learns what
---------------
* The aggregator, the key holder and any m members together see, for the k - m other
  members, k - m vectors whose pairwise masks they do not know. The masks of a complete
  graph over k - m >= 2 parties make every joint value with the right sum equally likely
  (lemma 6.1 of the paper): they learn that sum and nothing else. With k - m = 1 the sum
  is the signal: hence the rule k >= max_colluding + 2, enforced by teacher and gate.
* A member that sends a bad value (all zero, a repeat, its partner's own) only weakens
  masks it knows anyway: the partner's fresh 32 bytes keep the seed secret from all
  others. These are refused all the same, since an honest member never sends them.
* One stream must never mask two vectors, or their difference shows. The roster hash and
  phase are in ``info``, so another roster or phase gives another seed; that no signal is
  masked twice under the same one is the role's rule ("bound to one roster for ever").
* A member that uses wrong masks makes the sum random: noticed, not prevented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from secure_fedsa.encryption.fixed_point import MAXIMUM_MODULUS
from secure_fedsa.errors import HeadroomError, ProtocolError, UsageError
from secure_fedsa.signals import Encoded, Masked, int_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IntArray = npt.NDArray[np.int64]

VALUE_BYTES = 32
_VERSION = b"secure-fedsa/v1/pairwise-mask"
_DIRECTION = b"first-adds"


@dataclass(frozen=True, slots=True)
class MaskContext:
    """What a seed is bound to. All three are non-empty text.

    Attributes:
        run_id: The run.
        phase: The step of the protocol, for instance ``features``.
        roster_hash: Hash of the signed roster, as all its members signed it.
    """

    run_id: str
    phase: str
    roster_hash: str


def _encode_fields(fields: Sequence[bytes]) -> bytes:
    """Join fields, each behind its length as 4 bytes, big-endian: unambiguous."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def pair_seed(
    context: MaskContext, *, own: str, own_value: bytes, peer: str, peer_value: bytes
) -> bytes:
    """Return the pair's 32-byte seed; both members compute the same.

    Args:
        context: Run, phase and roster.
        own: This member's identity.
        own_value: The 32 bytes that this member sent to ``peer``.
        peer: The partner's identity.
        peer_value: The 32 bytes that ``peer`` sent to this member.

    Raises:
        ProtocolError: Equal identities, or values that no honest member sends.
        UsageError: An empty identity or context.
    """
    if not (own and peer and context.run_id and context.phase and context.roster_hash):
        raise UsageError("A mask seed needs identities, run, phase and roster hash.")
    if own == peer:
        raise ProtocolError(peer, "A member cannot share a mask with itself.")
    for party, value in ((own, own_value), (peer, peer_value)):
        if len(value) != VALUE_BYTES or not any(value):
            raise ProtocolError(party, f"A mask value must be {VALUE_BYTES} bytes, not all zero.")
    if own_value == peer_value:
        raise ProtocolError(peer, "The partner sent this member's own mask value back.")
    (first, first_value), (second, second_value) = sorted(
        [(own.encode(), own_value), (peer.encode(), peer_value)]
    )
    info = [
        _VERSION,
        context.run_id.encode(),
        context.phase.encode(),
        context.roster_hash.encode(),
        first,
        second,
        _DIRECTION,
    ]
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=_encode_fields(info))
    return hkdf.derive(first_value + second_value)


def mask_stream(seed: bytes, size: int, plain_modulus: int) -> IntArray:
    """Return ``size`` residues, int64 in [0, plain_modulus), uniform by rejection.

    The stream is AES-256 in counter mode (NIST SP 800-38A) under ``seed``, initial
    counter block zero, read as 64-bit little-endian words. A word at or above the largest
    multiple of ``plain_modulus`` is skipped; the others are reduced.
    """
    if len(seed) != 32 or not any(seed):
        raise UsageError("A mask seed is 32 bytes, not all zero.")
    if not 2 <= plain_modulus < MAXIMUM_MODULUS:
        raise HeadroomError("The plain modulus must fit 62 bits.")
    limit = (1 << 64) // plain_modulus * plain_modulus
    encryptor = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor()
    kept: list[npt.NDArray[np.uint64]] = []
    missing = size
    while missing > 0:
        words = np.frombuffer(encryptor.update(bytes(8 * missing)), dtype="<u8")
        if limit < 1 << 64:
            words = words[words < np.uint64(limit)]
        kept.append(words % np.uint64(plain_modulus))
        missing -= words.size
    if not kept:
        return np.empty(0, dtype=np.int64)
    return np.concatenate(kept).astype(np.int64)


def mask(
    encoded: Encoded, *, own: str, members: Sequence[str], seeds: Mapping[str, bytes]
) -> Masked:
    """Return the signal plus this member's share of every pairwise mask.

    Args:
        encoded: The signal's residues, shape (n,).
        own: This member's identity.
        members: The whole roster, this member included, without repeats.
        seeds: The seed shared with every other member of the roster, by identity.

    Raises:
        ProtocolError: A seed is missing, too many or repeated: some mask would not
            cancel, or the signal would leave unmasked.
    """
    if own not in members or len(set(members)) != len(members) or len(members) < 2:
        raise ProtocolError(own, "A masked sum needs a roster of two or more, this member in it.")
    if set(seeds) != set(members) - {own} or len(set(seeds.values())) != len(seeds):
        raise ProtocolError(own, "Masks need one distinct seed for every other roster member.")
    modulus = encoded.plain_modulus
    total = encoded.residues
    if total.ndim != 1 or not total.size or total.min() < 0 or total.max() >= modulus:
        raise HeadroomError("Residues must lie between zero and the plain modulus.")
    for peer in sorted(seeds, key=str.encode):
        stream = mask_stream(seeds[peer], total.size, modulus)
        total = np.mod(total + stream if own.encode() < peer.encode() else total - stream, modulus)
    return Masked(int_array(total), modulus)
