"""The command line: ``secure-fedsa COMMAND``.

Exit codes: 0 fine; 1 a check failed or a promise was not kept; 2 wrong usage or bad input;
130 interrupted; 141 whoever read the output left before the end. Each command stands in a module of
its own, which imports what takes time only when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from secure_fedsa.cli import (
    agree,
    audit,
    benchmark,
    demo_command,
    erase,
    keys,
    ledger,
    plan,
    report,
    run_command,
    verify,
)
from secure_fedsa.cli.refusals import refuse, tell
from secure_fedsa.errors import SecureFedsaError, StorageError, UsageError

READER_GONE = 141  # as a shell says of a program that SIGPIPE ended
COMMANDS = (
    demo_command,
    keys,
    agree,
    plan,
    run_command,
    erase,
    verify,
    report,
    audit,
    ledger,
    benchmark,
)


class _Parser(argparse.ArgumentParser):
    """Errors that say what to do, with exit code 2; options only by their whole names."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "allow_abbrev": False})

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
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    code = READER_GONE
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except OSError as error:  # of the output itself; the interpreter must not say so once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            tell(StorageError(f"Cannot write the output: {error.strerror}.", do="Make room."))
            return StorageError.exit_code
        os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    return code


def _run(arguments: Sequence[str] | None) -> int:
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        parsed = build_parser().parse_args(arguments)
        as_json = getattr(parsed, "json", False)
        code: int = parsed.action(parsed)
    except SecureFedsaError as error:
        refuse(error, as_json=as_json)
        return error.exit_code
    except OSError as error:
        if error.filename is None:
            raise  # of the output, which has no name
        refusal = StorageError(f"The operating system refused: {error}.")
        refuse(refusal, as_json=as_json)
        return refusal.exit_code
    except KeyboardInterrupt as error:
        print(f"interrupted. {error}".rstrip(), file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
