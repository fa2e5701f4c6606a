"""The command line: ``secure-fedsa COMMAND``.

Exit codes: 0 fine; 1 a check failed or a promise was not kept; 2 wrong usage or bad input;
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from secure_fedsa.errors import SecureFedsaError, UsageError

DEMO_EXAMPLE = """\
examples:
  secure-fedsa demo
  secure-fedsa demo --seed 1 --epsilon 0.5 --out runs/half
  secure-fedsa demo --data my-data --out runs/mine
"""
PLAN_EXAMPLE = """\
example:
  secure-fedsa plan demo-run/agreement.toml
"""


class _Parser(argparse.ArgumentParser):
    """Errors that say what to do, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.", do=f"Try: {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="secure-fedsa",
        description="Knowledge amalgamation across institutions, with differential privacy, "
        "encrypted selection and encrypted sums.",
        epilog="example:\n  secure-fedsa demo\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_plan(commands)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="run the whole job on public data, or on a folder of your own",
        description="Nine institutions, one student: runs the whole job on Fashion-MNIST (or "
        "--data) with real ciphertexts, signatures and ledgers, and writes a run folder.",
        epilog=DEMO_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--out", type=Path, default=Path("demo-run"), help="run folder (default: demo-run)"
    )
    demo.add_argument(
        "--seed",
        type=_whole(0),
        default=0,
        help="of the data split and model training, never of noise or keys (default: 0)",
    )
    demo.add_argument(
        "--epsilon",
        type=_positive,
        default=1.0,
        help="privacy loss bound per record and teacher, at delta 1e-5 (default: 1)",
    )
    demo.add_argument(
        "--labels", type=_whole(1), default=100, help="labels of the student (default: 100)"
    )
    demo.add_argument(
        "--records", type=_whole(1), default=4500, help="private records a teacher (default: 4500)"
    )
    demo.add_argument(
        "--select", type=_whole(1), default=6, help="most teachers to select (default: 6)"
    )
    demo.add_argument(
        "--encryption",
        choices=("on", "off"),
        default="on",
        help="off: no encryption and no masks, for comparison only (default: on)",
    )
    demo.add_argument(
        "--data", type=Path, help="folder of .npz files (docs/data.md) instead of Fashion-MNIST"
    )
    demo.add_argument("--json", action="store_true", help="print summary.json to standard output")
    demo.set_defaults(action=_demo)


def _add_plan(commands: Any) -> None:
    plan = commands.add_parser(
        "plan",
        help="show what a run under an agreement spends and sends; refuse what cannot hold",
        description="Reads an agreement, checks its signatures, and works out its privacy "
        "loss, its encryption headroom and its sizes. Nothing is run or charged.",
        epilog=PLAN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plan.add_argument("agreement", type=Path, help="agreement.toml")
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    plan.set_defaults(action=_plan)


def _whole(least: int) -> Any:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or value >= 2**31:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        return value

    return parse


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above zero")
    return value


def _demo(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.demo import Demo
    from secure_fedsa.cli.demo_agreement import DemoOptions
    from secure_fedsa.cli.progress import Progress

    options = DemoOptions(
        seed=arguments.seed,
        epsilon=arguments.epsilon,
        labels=arguments.labels,
        select=arguments.select,
        records=arguments.records,
        encryption=arguments.encryption == "on",
        data=str(arguments.data.resolve()) if arguments.data else "",
    )
    result = Demo(arguments.out, options, Progress()).run()
    if arguments.json:
        print(json.dumps(result.summary, indent=2))
    else:
        print(_demo_text(result.summary, result.out, result.simulation))
    return 0


def _by_score(teacher: dict[str, Any]) -> float:
    return math.inf if teacher["score"] is None else -float(teacher["score"])


def _demo_text(summary: dict[str, Any], out: Path, simulation: Path | None) -> str:
    """Return the demo's closing words."""
    accuracy = summary["accuracy"]
    rows = [("selected", "teacher", "score", "kind")]
    for teacher in sorted(summary["teachers"], key=_by_score):
        score = "-" if teacher["score"] is None else f"{teacher['score']:.2f}"
        chosen = "yes" if teacher["selected"] else ""
        rows.append((chosen, teacher["id"], score, teacher["kind"] or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    names = {
        "student": "student (head on the public encoder)",
        "student_network": "student network, alone on raw records",
        "self_training": "the same network, self-trained on the probes",
        "public_encoder": "public encoder without teachers",
        "scratch": "the same network from scratch",
    }
    lines = ["", *table, "", "Test accuracy"]
    lines += [
        f"  {accuracy[name]:.3f}  {words}" for name, words in names.items() if name in accuracy
    ]
    lines += [
        "",
        (
            f"Spent: epsilon {summary['epsilon']:.4g} at delta {summary['delta']:g} per "
            f"{summary['privacy_unit']} ({summary['neighbours']}), at every teacher."
        ),
        (
            f"Took {summary['wall_seconds']['total']:.0f} s; "
            f"{summary['payload_bytes'] / 1e6:.1f} MB of messages."
        ),
        f"Run folder: {out} (open {out / 'report.html'})",
    ]
    if simulation is not None:
        lines.append(f"Simulation without noise, not for others: {simulation}")
    if not summary["protection"]["he"]:
        lines.insert(0, "\nWARNING: ENCRYPTION AND MASKS WERE OFF. Single signals were open.")
    return "\n".join(lines)


def _plan(arguments: argparse.Namespace) -> int:
    from secure_fedsa.agreement import parse
    from secure_fedsa.plan import plan
    from secure_fedsa.wire.agreement_signatures import agreement_hash, verify_signatures

    try:
        text = arguments.agreement.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Cannot read {arguments.agreement}.", why=f"{error}.", do="Name an agreement.toml."
        ) from error
    agreement = parse(text)
    verify_signatures(agreement)
    found = plan(agreement)
    if arguments.json:
        print(json.dumps({"agreement": agreement_hash(agreement), **found.to_json()}, indent=2))
        return 0
    check = found.accounting
    lines = [
        f"Agreement {agreement_hash(agreement)[:12]}: {agreement.title}",
        (
            f"Privacy: epsilon {check.epsilon:.4g} at delta {check.delta:g} per "
            f"{agreement.privacy.unit} ({agreement.privacy.neighbours}) and run"
        ),
        (
            f"  proved by {check.accountant}; RDP says {check.rdp_epsilon:.4g}, "
            f"PLD (continuous) {check.pld_epsilon or float('nan'):.4g}"
        ),
        (
            f"Budgets: epsilon {agreement.privacy.agreement_budget:g} for all runs under this "
            f"agreement, {agreement.privacy.data_set_budget:g} for all runs on a data set"
        ),
        f"Sum: at least {found.smallest_sum} teachers; {found.tolerated_losses} may drop out",
    ]
    if found.headroom is None:
        lines.append("ENCRYPTION AND MASKS ARE OFF")
    else:
        lines += [
            (
                f"Headroom: {found.headroom.value_bits:.1f} bits before a sum wraps, "
                f"{found.headroom.noise_budget_bits:.1f} bits of noise budget proved to remain"
            ),
            (
                f"Collusion: key holder with aggregator learn at most {found.collusion_bits} bits "
                "of a teacher's saliency a run"
            ),
        ]
    lines.append(f"Upload: {found.upload_bytes} bytes a teacher; query {found.query_bytes} bytes")
    print("\n".join(lines))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        parsed = build_parser().parse_args(arguments)
        code: int = parsed.action(parsed)
    except SecureFedsaError as error:
        print(f"error: {error.what}", file=sys.stderr)
        for part in (error.why, error.do):
            if part:
                print(f"  {part}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: The operating system refused: {error}.", file=sys.stderr)
        print(
            "  Mend that and run the same command again: a run that was cut off is taken up, "
            "and nothing is charged twice.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt as error:
        print(f"interrupted. {error}".rstrip(), file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
