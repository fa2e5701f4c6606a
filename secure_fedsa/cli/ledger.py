"""``secure-fedsa ledger``: what the people in a data set have lost, over all runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from secure_fedsa.cli.parsing import add_parser, positive, whole

EXAMPLE = """\
examples:
  secure-fedsa ledger show states/teacher-north
  secure-fedsa ledger show states/teacher-north --out north.html
  secure-fedsa ledger plan states/teacher-north agreement.toml --runs 3
  secure-fedsa ledger plan states/teacher-north --epsilon 1 --delta 1e-5 --runs 2 --budget 4
  secure-fedsa ledger export states/teacher-north --out north.json
  secure-fedsa ledger import states/teacher-north events.json --description "survey of 2024"
  secure-fedsa ledger new states-2027/teacher-north --parent states/teacher-north
  secure-fedsa ledger link states/teacher-north --shares other-states/teacher-north
  secure-fedsa ledger disjoint states/teacher-north --from other-states/teacher-north
  secure-fedsa ledger limit states/teacher-north --epsilon 8

STATE is a teacher's own state folder, where its keys and its ledger lie; or the student's, whose
ledger is of its labelled records, if the agreement has [student_privacy].
docs/ledger.md explains what each figure does and does not say.
"""


def add(commands: Any) -> None:
    """Register the commands."""
    ledger = add_parser(
        commands,
        "ledger",
        help="show, plan, export and keep what a data set has spent",
        description="Reads and keeps the privacy ledger of one data set. Nothing here is sent\n"
        "anywhere. What was spent stays spent: no command takes a charge back.",
        epilog=EXAMPLE,
    )
    actions = ledger.add_subparsers(dest="ledger_command", metavar="ACTION", required=True)
    _add_show(actions)
    _add_plan(actions)
    _add_exchange(actions)
    _add_relations(actions)


def _action(actions: Any, name: str, text: str, description: str, action: Any) -> Any:
    parser = add_parser(actions, name, help=text, description=description, epilog=EXAMPLE)
    parser.add_argument("state", metavar="STATE", type=Path, help="the teacher's state folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(action=action)
    return parser


def _add_show(actions: Any) -> None:
    show = _action(
        actions,
        "show",
        "what was spent and what is left, by run, agreement and view",
        "Shows what the data set has spent and what is left, over time. With --out also as a\n"
        "page with a drawing.",
        _show,
    )
    show.add_argument("--out", metavar="PAGE.html", type=Path, help="also write a page")
    show.add_argument(
        "--budget",
        metavar="E",
        type=positive,
        help="epsilon to measure what is left against (default: the agreements' data set budget)",
    )
    _add_agreements(show)


def _add_agreements(parser: Any) -> None:
    parser.add_argument(
        "--agreement",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="an agreement that runs were charged under, if its text was not kept",
    )


def _add_plan(actions: Any) -> None:
    plan = _action(
        actions,
        "plan",
        "what further runs would leave, how many fit, and the nearest plan that fits",
        "Works out what further runs of an agreement (or of --epsilon and --delta) would leave,\n"
        "and how many fit its budgets. Nothing is charged. Exit code 1: they do not fit.",
        _plan,
    )
    plan.add_argument("agreement", metavar="FILE", type=Path, nargs="?", help="an agreement")
    plan.add_argument(
        "--teacher",
        metavar="NAME",
        help="whose run, or the student's name (default: by STATE's key)",
    )
    plan.add_argument("--epsilon", metavar="E", type=positive, help="of one release")
    plan.add_argument("--delta", metavar="D", type=positive, help="of one release")
    plan.add_argument("--runs", metavar="N", type=whole(1), default=1, help="(default: 1)")
    plan.add_argument(
        "--budget", metavar="E", type=positive, help="for all runs on the data set, without FILE"
    )


def _add_exchange(actions: Any) -> None:
    export = _action(
        actions,
        "export",
        "all charges as dp_accounting events",
        "Writes every charge as dp_accounting's events (JSON), so that others can account again.",
        _export,
    )
    export.add_argument("--out", metavar="FILE", type=Path, help="(default: standard output)")
    export.add_argument("--force", action="store_true", help="write over a file that is there")
    _add_agreements(export)
    take = _action(
        actions,
        "import",
        "charge a use of the same data outside secure-fedsa",
        "Takes dp_accounting's events (JSON: class_name, module_name and fields) and charges\n"
        "them to the data set, for ever. It is your word: nobody here saw that use.",
        _import,
    )
    take.add_argument("events", metavar="FILE", type=Path, help="the events")
    take.add_argument(
        "--description", metavar="TEXT", required=True, help="what that use was, in a few words"
    )
    take.add_argument(
        "--again",
        action="store_true",
        help="charge it although the same events were charged with the same description",
    )


def _add_relations(actions: Any) -> None:
    new = _action(
        actions,
        "new",
        "begin the ledger of a new version of a data set, with what was spent before",
        "Begins a ledger in STATE. With --parent, everything that the version before spent is\n"
        "inherited, and that one takes no further charge. Without, nothing was ever spent of\n"
        "these persons: that is your word.",
        _new,
    )
    how = new.add_mutually_exclusive_group(required=True)
    how.add_argument("--parent", metavar="OLD-STATE", type=Path, help="the version before")
    how.add_argument("--delta", metavar="D", type=positive, help="of a data set without one")
    link = _action(
        actions,
        "link",
        "count the spend of a data set that has some of the same persons",
        "From now on each of the two data sets counts the other's spend, in what is shown and\n"
        "before every charge, and no run on one takes the other past its limit or budgets. Both\n"
        "have to be charged for one unit. OTHER is a state folder on this machine, or an export\n"
        "of one, whose limit and budgets nobody can keep here.",
        _link,
    )
    link.add_argument("--shares", metavar="OTHER", type=Path, required=True)
    disjoint = _action(
        actions,
        "disjoint",
        "sign that no person has a record in both data sets",
        "Signs, with the identity key of STATE, that no person has a record in both data sets,\n"
        "and keeps the statement in the ledger. It is your word, and others can check who gave it.",
        _disjoint,
    )
    disjoint.add_argument(
        "--from", dest="other", metavar="OTHER", type=Path, required=True, help="the other data set"
    )
    limit = _action(
        actions,
        "limit",
        "set the most that all runs may spend, whatever an agreement allows",
        "Sets the data set's own limit. It can be lowered later and never raised: a budget that\n"
        "is raised after results were seen bounds nothing.",
        _limit,
    )
    limit.add_argument("--epsilon", metavar="E", type=positive, required=True)


def _show(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_show import show

    return show(arguments)


def _plan(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_plan import plan

    return plan(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_exchange import export_charges

    return export_charges(arguments)


def _import(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_exchange import import_events

    return import_events(arguments)


def _new(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_relations import new

    return new(arguments)


def _link(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_relations import link

    return link(arguments)


def _disjoint(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_relations import disjoint

    return disjoint(arguments)


def _limit(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.ledger_relations import limit

    return limit(arguments)
