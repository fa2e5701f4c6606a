"""Computed bounds are shown rounded away from what would flatter them, everywhere."""

from __future__ import annotations

import ast
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import secure_fedsa
from secure_fedsa.privacy.shown import at_least, at_most, percent_at_least, tenths_left
from secure_fedsa.report.markup import number

PACKAGE = Path(secure_fedsa.__file__).parent
ALLOWED = {
    "privacy/cross_check.py": "two accountants' figures in the alarm that they disagree",
    "privacy/budgets.py": "has figures of ledgers rounded by its own functions",
}
"""Files that may show an epsilon by a format of Python's, which rounds to nearest."""


def test_no_bound_is_shown_better_than_it_is() -> None:
    """If this fails, a page promises a little more than was proved."""
    generator = np.random.default_rng(3)
    values = [*(10.0 ** generator.uniform(-12, 9, 2000)).tolist(), 0.99995, 9.9995, 1.0, 4.0, 1e-5]
    slack = Fraction(1, 10**11)
    for value in values:
        for digits in (2, 4, 6, 9):
            above, below = at_most(value, digits), at_least(value, digits)
            assert Fraction(above) >= Fraction(value) * (1 - slack)
            assert Fraction(below) <= Fraction(value) * (1 + slack)
            assert float(above) <= value * (1 + 10.0 ** (1 - digits))
            assert float(below) >= value * (1 - 10.0 ** (1 - digits))
        assert number(value) == at_most(value)
    for value in (0.0, 5.96, 5.99999, 6.0, 34.05):
        assert value - 0.1 < float(tenths_left(value)) <= value
    for value in (0.0, 0.005, 0.799, 0.8, 1.0):
        assert int(percent_at_least(value)[:-1]) <= 100 * value


def nearest(source: str) -> list[str]:
    """Return the epsilons that a module's texts round to nearest."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            value, form = ast.unparse(node.value), ast.unparse(node.format_spec)
            if re.search(r"epsilon|claim|_bits", value) and re.search(r"\.\d+[fge%]", form):
                found.append(value)
    return found


def test_every_epsilon_in_a_text_is_rounded_by_the_one_function() -> None:
    """If this fails, two pages of one run name two figures, and one of them is too good."""
    assert nearest('f"{check.epsilon:.4g} {a.epsilon} {b.epsilon:g}"') == ["check.epsilon"]
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in ALLOWED and "ledger" not in path.name:
            assert nearest(path.read_text("utf-8")) == [], name


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0, -1.0])
def test_what_has_no_digits_is_shown_as_it_is(value: float) -> None:
    """If this fails, an unbounded loss ends in a traceback instead of in a page."""
    assert at_most(value) == at_least(value) == f"{value:g}"
