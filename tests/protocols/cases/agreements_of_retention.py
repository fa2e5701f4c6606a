"""Agreements on how long parties keep what runs leave."""

from __future__ import annotations

from tests.protocols.cases.agreements import Case, change, of_route, put, trained

KEPT = {"local_log_days": 30, "unfinished_days": 7}


def bad() -> list[Case]:
    """Return the bad agreements, each of which breaks one rule."""

    def broken(entry: str, value: object, name: str, rule: str = "R20") -> Case:
        where = f"retention.{entry}"
        return change(name, rule, where, {"retention": {**KEPT, entry: value}})

    return [
        change("missing", "B2", "retention.unfinished_days", {"retention": {"local_log_days": 1}}),
        broken("ledger_days", 30, "unknown", "B2"),
        broken("local_log_days", 30.0, "a-float", "B2"),
        broken("local_log_days", True, "a-boolean", "B2"),
        broken("local_log_days", -1, "negative"),
        broken("local_log_days", 36_501, "beyond-a-century"),
        broken("unfinished_days", 0, "zero"),
        broken("unfinished_days", 36_501, "beyond-a-century"),
    ]


def good() -> list[Case]:
    """Return the good agreements."""
    kept = put("retention", KEPT, "with-limits-for-what-runs-leave")
    most = {"local_log_days": 0, "unfinished_days": 36_500}
    return [kept, put("retention", most, "with-extreme-limits"), *of_route(trained, kept)]
