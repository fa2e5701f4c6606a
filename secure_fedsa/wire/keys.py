"""Identity keys (Ed25519) and per-run sealing keys (HPKE, ML-KEM-768 with X25519).

An identity key signs and lives as long as the party. A sealing key receives; it is made
for one run, is signed by the identity key (the ``keys`` message) and is erased with the
run.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from secure_fedsa.errors import SignatureError

_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_X25519_BYTES = 32
SEALING_PUBLIC_BYTES = _MLKEM_PUBLIC_BYTES + _X25519_BYTES

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True, repr=False)
class IdentityKey:
    """A party's Ed25519 signing key (RFC 8032)."""

    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> IdentityKey:
        """Return a fresh key from the operating system's generator."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, raw: bytes) -> IdentityKey:
        """Return the key of 32 raw private bytes."""
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    def to_bytes(self) -> bytes:
        """Return the 32 raw private bytes."""
        return self.private.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The 32 raw public bytes."""
        return self.private.public_key().public_bytes_raw()

    def sign(self, domain: str, data: bytes) -> bytes:
        """Return the signature of ``data`` under a domain, 64 bytes."""
        return self.private.sign(_separated(domain, data))


def verify(public: bytes, signature: bytes, domain: str, data: bytes, *, party: str) -> None:
    """Check an Ed25519 signature.

    Raises:
        SignatureError: If it does not verify.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _separated(domain, data))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            party,
            "the signature does not verify.",
            why="The bytes were changed, or another key signed them.",
        ) from error


def _separated(domain: str, data: bytes) -> bytes:
    """Return the bytes that are signed: length-prefixed domain, then the data."""
    name = domain.encode()
    return len(name).to_bytes(2, "big") + name + data


def new_sealing_key() -> tuple[bytes, bytes]:
    """Return a fresh sealing key as (96 private bytes, 1,216 public bytes)."""
    mlkem, curve = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    private = mlkem.private_bytes_raw() + curve.private_bytes_raw()
    public = mlkem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return private, public


def check_sealing_public(public: bytes, *, party: str) -> None:
    """Refuse a malformed sealing key, or one whose curve point has low order.

    Raises:
        SignatureError: If the key cannot be used.
    """
    try:
        _sealing_public(public)
        point = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:])
        # The exchange refuses the all-zero secret that every low-order point gives.
        X25519PrivateKey.generate().exchange(point)
    except ValueError as error:
        raise SignatureError(
            party,
            "the sealing key is malformed or has low order.",
            do="Have the party register a fresh key.",
        ) from error


def _sealing_public(public: bytes) -> MLKEM768X25519PublicKey:
    if len(public) != SEALING_PUBLIC_BYTES:
        raise ValueError(f"a sealing key has {SEALING_PUBLIC_BYTES} bytes")
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
        X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
    )


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Return HPKE (RFC 9180, base mode) of ``plaintext`` to a sealing key.

    ``info`` binds the context; opening under another context fails.
    """
    return _SUITE.encrypt(plaintext, _sealing_public(public), info=info)


def unseal(private: bytes, ciphertext: bytes, info: bytes, *, party: str) -> bytes:
    """Return the plaintext of :func:`seal`.

    Raises:
        SignatureError: If ``ciphertext`` was not sealed to this key in this context.
    """
    try:
        key = MLKEM768X25519PrivateKey(
            MLKEM768PrivateKey.from_seed_bytes(private[:_MLKEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(private[_MLKEM_SEED_BYTES:]),
        )
        return _SUITE.decrypt(ciphertext, key, info=info)
    except (InvalidTag, ValueError) as error:
        raise SignatureError(party, "a sealed body does not open.") from error
