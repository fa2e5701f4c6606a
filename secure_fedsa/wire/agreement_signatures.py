"""Signatures over an agreement: every party signs the same canonical content."""

from __future__ import annotations

from dataclasses import replace

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import AgreementError, DataError, SignatureError
from secure_fedsa.wire import canonical, keys
from secure_fedsa.wire.envelope import Directory

DOMAIN = "secure-fedsa/v1/agreement"


def agreement_hash(agreement: Agreement) -> str:
    """Return the hash that names an agreement: everything in it but the signatures."""
    return canonical.digest(DOMAIN, agreement.content())


def sign(agreement: Agreement, party: str, identity: keys.IdentityKey) -> Agreement:
    """Return the agreement with one more signature.

    Raises:
        AgreementError: If ``identity`` is not the key that the agreement names.
    """
    named = agreement.parties.get(party)
    if named is None or named.key != identity.public.hex():
        raise AgreementError(
            f"parties.{party}",
            "the agreement names another key for this party.",
            do="Sign with the key whose public part stands in the agreement.",
        )
    signature = identity.sign(DOMAIN, canonical.encode(agreement.content()))
    signatures = {**agreement.signatures, party: canonical.to_base64(signature)}
    return replace(agreement, signatures=signatures)


def verify_signatures(agreement: Agreement) -> None:
    """Check that every party signed, and nobody else.

    Raises:
        AgreementError: Naming the party whose signature is missing, unknown or wrong.
    """
    for party in agreement.signatures:
        if party not in agreement.parties:
            raise AgreementError(f"signatures.{party}", "is not a party of this agreement.")
    content = canonical.encode(agreement.content())
    for party, entry in agreement.parties.items():
        if party not in agreement.signatures:
            raise AgreementError(f"signatures.{party}", "is missing.", do=f"Have {party} sign.")
        try:
            signature = canonical.from_base64(agreement.signatures[party], maximum_bytes=64)
            keys.verify(bytes.fromhex(entry.key), signature, DOMAIN, content, party=party)
        except (SignatureError, DataError) as error:
            raise AgreementError(
                f"signatures.{party}",
                "does not verify.",
                why="The agreement was changed after it was signed, or another key signed it.",
                do=f"Have {party} read the agreement and sign it again.",
            ) from error


def directory(agreement: Agreement) -> Directory:
    """Return who is who in a run under this agreement."""
    return Directory(
        agreement_hash(agreement),
        {name: bytes.fromhex(party.key) for name, party in agreement.parties.items()},
        {name: party.role for name, party in agreement.parties.items()},
    )
