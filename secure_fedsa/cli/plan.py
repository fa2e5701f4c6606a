"""``secure-fedsa plan``: what a run under an agreement spends, sends and takes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.parsing import add_parser, printable, whole
from secure_fedsa.cli.refusals import tell
from secure_fedsa.errors import counted
from secure_fedsa.privacy.shown import at_most, tenths_left

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement
    from secure_fedsa.models.encoder import PublicEncoder
    from secure_fedsa.planning import Plan
    from secure_fedsa.report.views import ByView

EXAMPLE = """\
examples:
  secure-fedsa plan agreement.toml
  secure-fedsa plan demo-run/agreement.toml --json
"""
Seconds = dict[str, dict[str, float]]


def add(commands: Any) -> None:
    """Register the command."""
    plan = add_parser(
        commands,
        "plan",
        help="show what a run under an agreement spends, sends and takes; refuse what cannot hold",
        description="Reads an agreement, signed or not, and works out its privacy loss, its\n"
        "encryption headroom, and bytes and seconds by party. Seconds are estimated by trying\n"
        "every operation on this machine. Nothing is run or charged. Exit code 1: a promise\n"
        "cannot hold, or a signature is not of this text; 2: this is no agreement.",
        epilog=EXAMPLE,
    )
    plan.add_argument("agreement", metavar="FILE", type=Path, help="the agreement's file")
    plan.add_argument(
        "--records",
        metavar="N",
        type=whole(1),
        help="private records of a teacher (default: what features.scale has room for)",
    )
    plan.add_argument(
        "--encoder",
        metavar="FILE",
        type=Path,
        help="its file (default: encoder.safetensors beside the agreement)",
    )
    plan.add_argument("--no-time", action="store_true", help="do not estimate seconds")
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    plan.set_defaults(action=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli import agreement_file as files
    from secure_fedsa.planning import plan
    from secure_fedsa.report.views import by_view
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    agreement = files.read_agreement(arguments.agreement).agreement
    found = plan(agreement)
    states = files.signature_states(agreement)
    encoder = _encoder(arguments, agreement)
    records = arguments.records or _agreed_records(agreement)
    seconds = None if arguments.no_time else _seconds(agreement, found, encoder, records)
    promised = by_view(agreement)
    if arguments.json:
        values = {"agreement": agreement_hash(agreement), **found.to_json(), "signatures": states}
        values["by_view"] = promised.to_dict()
        values["seconds"] = seconds and {
            "estimated": "on this machine, without waiting, network and the student's training",
            "records": records if encoder else None,
            "by_party": {
                name: {"total": sum(parts.values()), "by_operation": parts}
                for name, parts in seconds.items()
            },
        }
        print(json.dumps(values, indent=2))
    else:
        name = f"{agreement_hash(agreement)[:12]}: {printable(agreement.title)}"
        print("\n".join([f"Agreement {name}", *_proofs(agreement, found, promised)]))
        print("\n".join(_table(agreement, found, seconds)))
        if seconds:
            print(_about_seconds(records if encoder else None, models=bool(agreement.answers)))
        unsigned = [name for name in agreement.parties if states.get(name) != "signed"]
        print(f"Not signed by: {', '.join(unsigned)}" if unsigned else "Signed by everybody")
    try:
        files.check_signatures({n: state for n, state in states.items() if state != "missing"})
    except files.SignedTextError as error:
        tell(error)
        return error.exit_code
    return 0


def _proofs(agreement: Agreement, found: Plan, promised: ByView) -> list[str]:
    from secure_fedsa.cli.terms import kept

    lines = [
        *_privacy(agreement, found),
        *_units(promised),
        (
            f"Sum: of {found.smallest_sum} to {agreement.selection.select} teachers; "
            f"{found.tolerated_losses} may drop out once it is signed"
        ),
        *kept(agreement),
    ]
    if found.headroom is None:
        lines.append("ENCRYPTION AND MASKS ARE OFF")
    else:
        lines += [
            (
                f"Headroom: {tenths_left(found.headroom.value_bits)} bits before a sum wraps, "
                f"{tenths_left(found.headroom.noise_budget_bits)} bits of noise budget proved to "
                "remain"
            ),
            (
                f"Collusion: key holder with aggregator learn at most {found.collusion_bits} bits "
                "of a teacher's saliency a run"
            ),
        ]
    return lines


def _privacy(agreement: Agreement, found: Plan) -> list[str]:
    from secure_fedsa.cli.terms import institution_promised, student_promised
    from secure_fedsa.planning import unit_words
    from secure_fedsa.privacy.training_check import TrainingCheck
    from secure_fedsa.report.notices import notices

    check, privacy = found.accounting, agreement.privacy
    if check is None or privacy is None:
        return notices(agreement)
    if isinstance(check, TrainingCheck):
        found_by, others = "accounted", f"Renyi divergences say {at_most(check.rdp_epsilon)}"
    else:
        pld = "-" if check.pld_epsilon is None else at_most(check.pld_epsilon)
        found_by, others = (
            "proved",
            f"RDP says {at_most(check.rdp_epsilon)}, PLD (continuous) {pld}",
        )
    return [
        (
            f"Privacy: epsilon {at_most(check.epsilon)} at delta {check.delta:g} "
            f"{unit_words.per_unit(privacy)} and run, at each teacher"
        ),
        f"  {found_by} by {check.accountant}; {others}",
        (
            f"Budgets: epsilon {privacy.agreement_budget:g} for all runs under this agreement "
            f"(room for {found.runs_in_budget}), {privacy.data_set_budget:g} for all runs on a "
            "data set"
        ),
        *(text.strip() for text in student_promised(agreement, found)),
        *(text.strip() for text in institution_promised(agreement, found)),
        *notices(agreement),
    ]


def _units(promised: ByView) -> list[str]:
    """Return what the agreed noise promises to others than the agreed unit."""
    agreed, *others = promised.units
    if agreed.epsilon is None:
        return []
    records = [claim for claim in others if claim.shared is None]  # a sum has other noise
    stated = [f"{c.unit}: {at_most(c.epsilon)}" for c in records if c.epsilon is not None]
    without = [claim.unit for claim in others if claim.epsilon is None]
    return [
        f"  at the same delta, for {'; '.join(stated)}",
        *([f"  no epsilon for {'; '.join(without)}"] if without else []),
    ]


def _table(agreement: Agreement, found: Plan, seconds: Seconds | None) -> list[str]:
    """Return one row a party, like ones together, as if every teacher were selected."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, load in found.traffic.by_party.items():
        cells = [_megabytes(load.sent_bytes), _megabytes(load.received_bytes)]
        if seconds:
            cells.append(f"{sum(seconds[name].values()):.1f} s")
        rows.setdefault((agreement.parties[name].role, *cells), []).append(name)
    shown = [("", "sends", "takes", *(("computes",) if seconds else ()))]
    for (_, *row), names in rows.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        shown.append((names[0] + others, *row))
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    table = [
        f"  {row[0]:<{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in shown
    ]
    total = _megabytes(found.traffic.total_bytes)
    return [f"Messages: {total} a run; by party, a teacher as if selected:", *table]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def _about_seconds(records: int | None, *, models: bool) -> str:
    if models:
        records, without = None, "the student's training, and the teachers' models"
    else:
        without = (
            "the student's training"
            if records
            else "the student's training, and reading records (for that, name --encoder)"
        )
    of = f" with {counted(records, 'record')} a teacher" if records else ""
    return (
        f"  Seconds are estimated on this machine{of}, without waiting, network and\n  {without}."
    )


def _agreed_records(agreement: Agreement) -> int:
    """Return the order of magnitude of a teacher's records behind ``features.scale``."""
    from secure_fedsa.cli.drafting import RECORDS, ROOM

    if agreement.training is not None:
        return max(1, round(agreement.training.denominator / agreement.training.sampling_rate))
    if agreement.answers is not None:
        return RECORDS
    features = agreement.features
    return max(1, round(features.bound / (ROOM * features.scale)))


def _encoder(arguments: argparse.Namespace, agreement: Agreement) -> PublicEncoder | None:
    """Return the agreement's encoder: the one that was named, or one that lies near."""
    from secure_fedsa.cli.encoder_file import encoder_near, read_encoder
    from secure_fedsa.models.encoder import PublicEncoder

    if arguments.encoder:
        return read_encoder(arguments.encoder, agreement, PublicEncoder)
    return encoder_near(arguments.agreement, agreement)


def _seconds(
    agreement: Agreement, found: Plan, encoder: PublicEncoder | None, records: int
) -> Seconds:
    from threadpoolctl import threadpool_limits

    from secure_fedsa.planning.seconds import seconds_by_party
    from secure_fedsa.planning.units import measure

    with threadpool_limits(1):  # as in a run
        units = measure(agreement, encoder)
    return seconds_by_party(agreement, units, found.traffic.by_party, records=records)
