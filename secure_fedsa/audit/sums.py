"""The one sum of a run, and its opening."""

from __future__ import annotations

from secure_fedsa.audit.contributions import Contributions
from secure_fedsa.audit.failures import blaming, require
from secure_fedsa.audit.he_check import check_ciphertexts
from secure_fedsa.audit.he_request import Claim, Fetched
from secure_fedsa.audit.layout import TRANSCRIPT
from secure_fedsa.audit.opening import Opening
from secure_fedsa.audit.rosters import Rosters
from secure_fedsa.audit.transcript import Message
from secure_fedsa.encryption.interface import bfv_parameters
from secure_fedsa.encryption.plain_suite import PlainSuite
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, Permit, Release, Sum
from secure_fedsa.signals import Encrypted, from_int64_bytes
from secure_fedsa.wire import canonical


def check_sum(opening: Opening, rosters: Rosters, given: Contributions) -> Message:
    """Return the one sum, which names exactly the members' uploads.

    Whether it is their sum is the last question (:func:`check_arithmetic`).

    Raises:
        VerificationError: If it is missing, doubled, or of another roster or other uploads.
    """
    message = opening.transcript.one("sum", opening.agreement.only(AGGREGATOR))
    if message.body is None:
        return message
    total, file = message.says(Sum), message.file
    require(total.roster_hash == rosters.final_hash, file, "is a sum over another roster.")
    uploads = {member: upload.hash for member, upload in given.uploads.items()}
    require(total.uploads == uploads, file, "is a sum of other uploads than the members'.")
    values = opening.agreement.feature_values
    require(total.values == values, file, f"has {total.values} values, not {values}.")
    return message


def check_release(
    opening: Opening, rosters: Rosters, given: Contributions, total: Message
) -> Message:
    """Return the one release: of this sum, permitted by the key holder, shown as agreed.

    Raises:
        VerificationError: If it is missing, doubled, of another sum, roster or signals, not
            permitted, or shows more, less or other values than it may.
    """
    transcript, agreement = opening.transcript, opening.agreement
    message = transcript.one("release", agreement.custodian)
    release = message.says(Release)
    _check_permit(opening, release)
    file = message.file
    require(release.roster_hash == rosters.final_hash, file, "opens a sum over another roster.")
    if total.body is not None:
        summed = total.ciphertext.sha256
        require(release.sum_hash == summed, file, "opens another sum than the aggregator's.")
    require(
        release.signal_ids == given.signal_ids,
        file,
        "names other signals than the members' ledgers were charged for.",
    )
    if agreement.publish.sums:
        _check_values(release, file, opening, len(rosters.members))
    sealed = 0 if agreement.publish.sums else 1
    require(
        len(transcript.of("sealed-sum")) == sealed,
        f"{TRANSCRIPT}/",
        f"holds {len(transcript.of('sealed-sum'))} sealed sums, not {sealed}.",
    )
    return message


def _check_permit(opening: Opening, release: Release) -> None:
    transcript, agreement = opening.transcript, opening.agreement
    if agreement.custody == "key-holder":
        for message in transcript.of("permit"):
            require(False, message.file, "permits what the key holder opens itself.")
        return
    message = transcript.one("permit", agreement.only(KEY_HOLDER))
    opened = Permit(release.roster_hash, release.sum_hash, release.signal_ids)
    require(message.says(Permit) == opened, message.file, "permits another sum than was opened.")


def _check_values(release: Release, file: str, opening: Opening, members: int) -> None:
    agreement = opening.agreement
    size = 8 * agreement.feature_values
    require(len(release.values) == size, file, f"releases {len(release.values)} bytes, not {size}.")
    values = from_int64_bytes(release.values)
    limit = agreement.largest_opened(members)
    # Not abs: it leaves the least int64 negative.
    within = -limit <= int(values.min()) and int(values.max()) <= limit
    require(within, file, f"releases values beyond {limit}, the most that members can give.")


def check_arithmetic(
    opening: Opening, given: Contributions, total: Message, opened: Message
) -> None:
    """Check the sum against the uploads and its opening against the sum, where shown.

    Raises:
        VerificationError: If the published key belongs to another public key, the sum is
            not the uploads', or it does not open to the released values.
    """
    if opening.agreement.protection.he:
        _check_encrypted(opening, given, total, opened)
    elif total.body is not None:
        _check_plain(opening, given, total, opened)


def _check_encrypted(
    opening: Opening, given: Contributions, total: Message, opened: Message
) -> None:
    """Check the feature key, and the ciphertexts under it where they are shown."""
    agreement, release = opening.agreement, opened.says(Release)
    transcript = opening.transcript
    uploads = {} if total.body is None else given.uploads
    claim = Claim(
        parameters=bfv_parameters(agreement),
        values=agreement.feature_values,
        public_key=opening.session.feature_key,
        uploads=Fetched(uploads, lambda name: transcript.ciphertext_of(uploads[name])),
        total=b"" if total.body is None else transcript.ciphertext_of(total),
        secret_key=release.secret_key,
        released=release.values if release.secret_key else b"",
    )
    check_ciphertexts(
        claim,
        files={
            "feature-key": opening.feature_key_file,
            "sum": total.file,
            "release": opened.file,
            **{f"upload {name}": message.file for name, message in uploads.items()},
        },
    )


def _check_plain(opening: Opening, given: Contributions, total: Message, opened: Message) -> None:
    agreement = opening.agreement
    suite = PlainSuite(agreement)
    transcript, uploads = opening.transcript, given.uploads
    values = agreement.feature_values

    def fetch(name: str) -> Encrypted:
        upload = Encrypted(transcript.ciphertext_of(uploads[name]), values)
        with blaming(uploads[name].file):
            suite.check_upload(upload, name)
        return upload

    summed = suite.add(Fetched(uploads, fetch))
    same = canonical.sha256(summed.ciphertext) == total.ciphertext.sha256
    require(same, total.file, "is not the sum of the members' uploads.")
    if agreement.publish.sums:
        with blaming(opened.file):
            found = suite.decrypt(b"", summed).values.astype("<i8").tobytes()
        same = found == opened.says(Release).values
        require(same, opened.file, "does not hold the values of the sum.")
