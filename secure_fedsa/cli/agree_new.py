"""``secure-fedsa agree new``: its options, and the files that it writes."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from secure_fedsa.cli.parsing import add_parser, finite, positive, whole
from secure_fedsa.errors import StorageError, UsageError, counted

EXAMPLE = """\
examples:
  secure-fedsa agree new --probes probes.npy --parties parties.toml
  secure-fedsa agree new --data my-data --states states --out joint/agreement.toml
  secure-fedsa agree new --probes probes.npy --title "Chest X-rays" --epsilon 0.5 \\
      --teacher north=KEY:healthy,pneumonia --teacher east=KEY:healthy,fracture ... \\
      --aggregator KEY --key-holder KEY --student KEY
KEY is what `secure-fedsa keys new` prints. parties.toml holds, for each party, a table
  [parties.NAME]
  role = "teacher"                      # or aggregator, key-holder, student
  key = "KEY"
  # stated = { sampling_rate = 0.1, steps = 500, noise_multiplier = 2.0 }   # how it trained before
  classes = ["healthy", "pneumonia"]    # of a teacher, in the order of its labels
"""
ENCODER_FILE = "encoder.safetensors"


def add(actions: Any) -> None:
    """Register the command."""
    new = add_parser(
        actions,
        "new",
        help="write a commented agreement with good defaults, for all to read and sign",
        description="Fits the public encoder to public examples (probes), works out everything\n"
        "that follows from it, and writes agreement.toml and encoder.safetensors. Nothing is\n"
        "overwritten, and nothing is written that could not hold.",
        epilog=EXAMPLE,
    )
    new.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("agreement.toml"),
        help="where to write it (default: agreement.toml)",
    )
    new.add_argument("--title", metavar="TEXT", default="", help="what the agreement is about")
    new.add_argument("--json", action="store_true", help="print what was written as JSON")
    public = new.add_mutually_exclusive_group(required=True)
    public.add_argument(
        "--probes", metavar="FILE", type=Path, help="public examples: .npy, or .npz with 'probes'"
    )
    public.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="folder as in docs/data.md: its probes, its teachers and their classes",
    )
    _add_parties(new.add_argument_group("parties"))
    _add_route(new.add_argument_group("teachers"))
    _add_terms(new.add_argument_group("terms"))
    _add_published(new.add_argument_group("published"))
    new.set_defaults(action=_new)


def _add_parties(group: Any) -> None:
    group.add_argument("--parties", metavar="FILE", type=Path, help="TOML file (see below)")
    group.add_argument(
        "--teacher",
        action="append",
        default=[],
        metavar="NAME=KEY:CLASS,...",
        help="a teacher; with --data, or a class whose name has a comma, NAME=KEY is enough and "
        "the classes come from the folder or --parties",
    )
    for role in ("aggregator", "key-holder", "student"):
        group.add_argument(
            f"--{role}", metavar="[NAME=]KEY", default="", help=f"(name by default: {role})"
        )
    group.add_argument(
        "--states",
        metavar="DIR",
        type=Path,
        help="take keys that were not given from DIR/NAME, for parties on this machine",
    )


def _add_route(group: Any) -> None:
    group.add_argument(
        "--route",
        choices=("noisy-release", "private-training", "encryption-only"),
        default="noisy-release",
        help="noise on sums of records, models trained with noise, or any models with NO "
        "DIFFERENTIAL PRIVACY (default: noisy-release)",
    )
    group.add_argument(
        "--form",
        choices=("sketch", "gram", "scatter"),
        help="how models answer (default: scatter; without differential privacy sketch)",
    )
    group.add_argument(
        "--asked",
        metavar="N",
        type=whole(2),
        help="probes that models are asked about (default: 5000; sketch 2000, gram 1000)",
    )
    group.add_argument("--width", metavar="N", type=whole(1), help="of a sketch (default: 128)")
    group.add_argument(
        "--saliency",
        choices=("alignment", "grad-cam", "input-x-gradient"),
        help="by which models are chosen (default: alignment)",
    )


def _add_terms(group: Any) -> None:
    group.add_argument(
        "--epsilon", metavar="E", type=positive, default=1.0, help="of a run (default: 1)"
    )
    group.add_argument(
        "--delta", metavar="D", type=positive, default=1e-5, help="its failure (default: 1e-5)"
    )
    group.add_argument(
        "--neighbours",
        choices=("add-remove", "replace-one"),
        default="add-remove",
        help="what epsilon compares (default: add-remove)",
    )
    group.add_argument(
        "--unit",
        choices=("record", "person"),
        help="whom epsilon protects; a person needs person ids in the data (default: record)",
    )
    group.add_argument(
        "--max-records",
        metavar="N",
        type=whole(1),
        default=1,
        help="records of one person that count; above 1 the unit is a person (default: 1)",
    )
    group.add_argument(
        "--budget", metavar="E", type=positive, help="epsilon of all runs (default: 10 x --epsilon)"
    )
    group.add_argument(
        "--data-set-budget",
        metavar="E",
        type=positive,
        help="epsilon of all runs on a data set (default: as --budget, at least 20)",
    )
    group.add_argument(
        "--student-epsilon",
        metavar="E",
        type=positive,
        help="of the student's own labelled records, once for all runs (default: they are NOT "
        "protected)",
    )
    group.add_argument(
        "--student-budget",
        metavar="E",
        type=positive,
        help="epsilon of all uses of those records (default: 10 x --student-epsilon)",
    )
    group.add_argument(
        "--student-classes",
        metavar="N",
        type=whole(2),
        help="classes of the student's task (default: those of --data)",
    )
    group.add_argument(
        "--institution-epsilon",
        metavar="E",
        type=positive,
        help="of a whole teacher in a run's sum, by noise that teachers share: for many teachers, "
        "all of whom are selected (default: no noise hides an institution)",
    )
    group.add_argument(
        "--institution-neighbours",
        choices=("member-to-zero", "member-to-any"),
        default="member-to-zero",
        help="what that compares a teacher's signal with (default: member-to-zero)",
    )
    group.add_argument(
        "--records",
        metavar="N",
        type=whole(1),
        default=4500,
        help="order of magnitude of a teacher's records; give the largest (default: 4500)",
    )
    group.add_argument(
        "--select",
        metavar="K",
        type=whole(1),
        help="most teachers in a sum (default: 6, or all if fewer; with --institution-epsilon all)",
    )
    group.add_argument(
        "--threshold",
        metavar="S",
        type=finite,
        help="smallest score that is selected (default: 0.15; models without noise 0.5)",
    )
    group.add_argument(
        "--minimum-cohort",
        metavar="N",
        type=whole(1),
        help="fewest teachers in a sum (default: 3; with --institution-epsilon all)",
    )
    group.add_argument(
        "--max-colluding",
        metavar="N",
        type=whole(1),
        default=1,
        help="teachers that may work together against another (default: 1)",
    )
    group.add_argument(
        "--custody",
        choices=("key-holder", "aggregator"),
        default="key-holder",
        help="who holds the key of the sum (default: key-holder)",
    )
    group.add_argument(
        "--encryption",
        choices=("on", "off"),
        default="on",
        help="off: no encryption and no masks, for comparison only (default: on)",
    )
    group.add_argument(
        "--log-days",
        metavar="N",
        type=whole(0),
        help="days that parties keep lines of their local logs (default: no limit is agreed; with "
        "--unfinished-days 90)",
    )
    group.add_argument(
        "--unfinished-days",
        metavar="N",
        type=whole(1),
        help="days after which a run that was cut off is given up and erased (default: no limit "
        "is agreed; with --log-days 30)",
    )


def _add_published(group: Any) -> None:
    group.add_argument(
        "--publish-scores",
        choices=("none", "order", "values"),
        default="none",
        help="of teachers, in the signed roster (default: none)",
    )
    for name, words in (
        ("ciphertexts", "masked uploads and their sum (default: yes)"),
        ("sums", "the opened sum; no: for the student only (default: yes, if noise protects it)"),
        ("feature-key", "the one-use key after its use (default: yes where it serves)"),
    ):
        group.add_argument(f"--publish-{name}", choices=("yes", "no"), default="", help=words)


def _new(arguments: argparse.Namespace) -> int:
    out, encoder_path = arguments.out, arguments.out.with_name(ENCODER_FILE)
    for path in (out, encoder_path):
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"{path} is there already.",
                why="Somebody may have signed it, or hold its hash.",
                do="Name another --out (a folder for each agreement), or move it away.",
            )
    from secure_fedsa.cli import agree_choices

    agree_choices.check_options(arguments)
    _check_place(out)
    from secure_fedsa.agreement import parse
    from secure_fedsa.cli.agreement_text import to_text
    from secure_fedsa.cli.drafting import draft, encoder_spec
    from secure_fedsa.cli.parties import gather
    from secure_fedsa.cli.public_part import public_part
    from secure_fedsa.cli.terms import terms
    from secure_fedsa.engines.hashes import probes_hash
    from secure_fedsa.models.encoder import PublicEncoder
    from secure_fedsa.planning import plan
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    public = public_part(arguments.data, arguments.probes)
    parties = gather(arguments, public.classes)
    teachers = sum(party.role == "teacher" for party in parties.values())
    choices = agree_choices.choices(arguments, public, teachers)
    spec, probes_sha256 = encoder_spec(choices, len(public.probes)), probes_hash(public.probes)
    agree_choices.check_before(choices, parties, spec.dimension, probes_sha256)
    print(f"Fitting the public encoder to {len(public.probes)} probes", file=sys.stderr)
    encoder = PublicEncoder.fit(public.probes, spec)
    agreement = draft(choices, parties, encoder, probes_sha256)
    planned = plan(agreement)
    for warning in agree_choices.odd(choices):
        print(f"WARNING: {warning}", file=sys.stderr)
    shape = " x ".join(map(str, public.probes.shape))
    text = to_text(
        agreement,
        [
            f"Probes: {public.source}, {shape}, {public.probes.dtype}.",
            "The encoder was fitted to them; its own are dimension, clip_norm and saliency.unit.",
            f"Drafted for teachers with some {counted(choices.records, 'record')}.",
        ],
    )
    assert parse(text) == agreement
    _create(encoder_path, encoder.to_bytes())
    _create(out, text.encode())
    if arguments.json:
        values = {
            "file": str(out),
            "encoder": str(encoder_path),
            "agreement": agreement_hash(agreement),
            "title": agreement.title,
            "to_sign": list(agreement.parties),
        }
        print(json.dumps(values, indent=2))
        return 0
    print(f"Wrote {out} and {encoder_path}.")
    print("\n".join(terms(agreement, planned)))
    print(f"Every party reads {out} and signs it:")
    print(f"  secure-fedsa agree sign {shlex.quote(str(out))} --state STATE")
    print(f"To sign: {', '.join(agreement.parties)}.")
    return 0


def _check_place(out: Path) -> None:
    """Refuse a place that cannot be written, before what takes time.

    Raises:
        StorageError: Naming the folder.
    """
    there = next(folder for folder in (out.absolute()).parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(
            f"Cannot write {out}.",
            why=f"{there} is no folder that you can write.",
            do="Name another place with --out.",
        )


def _create(path: Path, data: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        StorageError: If it is there, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise StorageError(
            f"Cannot write {path}.", why=f"{error.strerror}.", do="Name another place with --out."
        ) from error
