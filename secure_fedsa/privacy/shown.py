"""Bounds as people read them: never better than they are.

A bound from above is shown rounded up, one from below (what is left, what an audit proves)
rounded down. Whatever prints a computed bound uses these functions; what was agreed is shown as it
was said.
"""

from __future__ import annotations

import math

_SLACK = 1e-12  # relative: what the arithmetic of a computed bound may be off by


def at_most(value: float, digits: int = 4) -> str:
    """Return a bound from above to so many significant digits, the last one never rounded down.

    >>> at_most(0.99992), at_most(1.23411), at_most(1e-5), at_most(1.0000012, 6)
    ('1', '1.235', '1e-5', '1.00001')
    """
    return _rounded(value, digits, up=True)


def at_least(value: float, digits: int = 4) -> str:
    """Return a bound from below to so many significant digits, the last one never rounded up.

    >>> at_least(1.23491), at_least(0.0), at_least(0.99996)
    ('1.234', '0', '0.9999')
    """
    return _rounded(value, digits, up=False)


def tenths_left(value: float) -> str:
    """Return what certainly remains, to one decimal and never rounded up.

    >>> tenths_left(5.96), tenths_left(6.0)
    ('5.9', '6.0')
    """
    return f"{math.floor(value * 10) / 10:.1f}"


def percent_at_least(share: float) -> str:
    """Return a share in whole percent, never rounded up.

    >>> percent_at_least(0.799), percent_at_least(1.0)
    ('79%', '100%')
    """
    return f"{math.floor(100 * share * (1 + _SLACK))}%"


def _rounded(value: float, digits: int, *, up: bool) -> str:
    if not math.isfinite(value) or value <= 0:
        return f"{value:g}"
    step = 10.0 ** (digits - 1 - math.floor(math.log10(value)))
    scaled = value * step
    whole = math.ceil(scaled * (1 - _SLACK)) if up else math.floor(scaled * (1 + _SLACK))
    return f"{whole / step:.{digits}g}".replace("e-0", "e-")
