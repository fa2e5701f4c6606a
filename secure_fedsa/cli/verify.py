"""``secure-fedsa verify``: check a run folder from nothing but itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.parsing import add_parser
from secure_fedsa.cli.refusals import NOT_THE_RESULT, tell
from secure_fedsa.errors import VerificationError

if TYPE_CHECKING:
    from secure_fedsa.audit.verify import Verdict

EXAMPLE = """\
examples:
  secure-fedsa verify demo-run
  secure-fedsa verify demo-run --trust keys.toml
  secure-fedsa verify demo-run --trust keys.toml --json

keys.toml has the parties' public keys as you know them from elsewhere:
  [keys]
  aggregator = "64 hexadecimal digits"

exit codes: 0 every check passed; 1 a check failed, and its file and reason are printed;
2 this is no run folder, or it or the trust file cannot be read.
"""


def add(commands: Any) -> None:
    """Register the command."""
    verify = add_parser(
        commands,
        "verify",
        help="check a run folder: recompute all that its messages allow",
        description="Checks every signature, hash, ledger segment, privacy figure, roster, sum and "
        "opening\nof a run folder that the folder allows to be recomputed. Needs nothing but the "
        "folder.",
        epilog=EXAMPLE,
    )
    verify.add_argument("folder", metavar="DIR", type=Path, help="the run folder")
    verify.add_argument(
        "--trust",
        metavar="keys.toml",
        type=Path,
        help="the parties' keys as you know them; without it no identity is checked",
    )
    verify.add_argument("--json", action="store_true", help="print the verdict as JSON")
    verify.set_defaults(action=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    from secure_fedsa.audit.trust import read_trust
    from secure_fedsa.audit.verify import verify_folder

    trust = None if arguments.trust is None else read_trust(arguments.trust)
    try:
        verdict = verify_folder(arguments.folder, trust)
    except VerificationError as error:
        return tell_failed(error, as_json=arguments.json)
    trusted = "" if arguments.trust is None else str(arguments.trust)
    if arguments.json:
        print(json.dumps(_passed(verdict, trusted), indent=2))
    else:
        print(_text(verdict, trusted))
    return 0


def tell_failed(error: VerificationError, *, as_json: bool) -> int:
    """Print that a run folder does not verify, and return the exit code.

    Whatever could be mended in the folder is for those who made it, not for its reader.
    """
    if as_json:
        print(json.dumps(_failed(error), indent=2))
    tell(error, do=error.do or NOT_THE_RESULT)
    return error.exit_code


def _failed(error: VerificationError) -> dict[str, Any]:
    what = error.what.removeprefix(f"{error.file}: ")
    reason = f"{what} {error.why}".rstrip()
    return {"verdict": "failed", "file": error.file, "reason": reason}


def _limits(verdict: Verdict) -> list[str]:
    from secure_fedsa.report.wording import limits

    agreement = verdict.facts.agreement
    return limits(
        identities_checked=verdict.identities_checked,
        student_protected=agreement.student_privacy is not None,
        institutions_protected=agreement.institution_privacy is not None,
    )


def _passed(verdict: Verdict, trusted: str) -> dict[str, Any]:
    from secure_fedsa.report.notices import notices

    return {
        "verdict": verdict.words(trusted),
        "run_id": verdict.facts.run_id,
        "agreement": verdict.facts.agreement_hash,
        "identities_checked": verdict.identities_checked,
        "trust": trusted or None,
        "signers": [asdict(signer) for signer in verdict.signers],
        "bound_by_messages": [asdict(party) for party in verdict.bound_by_messages],
        "recomputed": verdict.recomputed,
        "attested": verdict.attested,
        "limits": _limits(verdict),
        **({"notices": told} if (told := notices(verdict.facts.agreement)) else {}),
    }


def _text(verdict: Verdict, trusted: str) -> str:
    from secure_fedsa.report.claims import WORDS
    from secure_fedsa.report.notices import notices
    from secure_fedsa.report.wording import carried_by

    signers = tuple(signer.party for signer in verdict.signers)
    lines = [
        f"Run {verdict.facts.run_id}",
        f"under agreement {verdict.facts.agreement_hash}:",
        f"  {verdict.words(trusted)}",
        *notices(verdict.facts.agreement),
        "",
        "Receipt signed by:",
    ]
    lines += [f"  {signer.party} ({signer.role}), key {signer.key}" for signer in verdict.signers]
    others = verdict.bound_by_messages
    if others:
        lines += ["", "Bound by their signed messages only, not by the receipt:"]
        lines += [f"  {other.party} ({other.role}), key {other.key}" for other in others]
    lines += ["", "Recomputed from this folder alone:"]
    lines += [f"  {claim}: {WORDS[claim]}" for claim in verdict.recomputed]
    lines += ["", "Not recomputed from this folder; each is the word of those named:"]
    for entry in verdict.attested:
        lines += [f"  {entry['claim']}: {WORDS[entry['claim']]}"]
        lines += [f"    {carried_by(entry['by'], signers, shown=len(entry['by']))}"]
    lines += ["", "What this does not mean:"]
    lines += [f"  - {text}" for text in _limits(verdict)]
    return "\n".join(lines)
