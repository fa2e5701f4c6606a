"""What the agreement says about who opens the sum and what is shown of it."""

from __future__ import annotations

from secure_fedsa.agreement import Agreement
from secure_fedsa.messages import KIND_OF, Body, Permit, Release, SealedSum
from secure_fedsa.roles.refusals import must_be


def check_custodian(agreement: Agreement, sender: str, kind: str) -> None:
    """Refuse a message that only the party with custody of the feature key may send.

    Raises:
        ProtocolError: Naming the clause.
    """
    must_be(
        kind not in ("feature-key", "sealed-sum", "release") or sender == agreement.custodian,
        sender,
        f"sent a {kind} without having custody of the feature key.",
        clause="custody",
    )


def check_custody(agreement: Agreement, sender: str, body: Body) -> None:
    """Refuse what only the custodian may say, and a release that shows more or less than agreed.

    Raises:
        ProtocolError: Naming the clause.
    """
    check_custodian(agreement, sender, KIND_OF[type(body)])
    if isinstance(body, Permit):
        must_be(
            agreement.custody == "aggregator",
            sender,
            "permitted a sum that it has to open itself.",
            clause="custody",
        )
    if isinstance(body, SealedSum):
        must_be(
            not agreement.publish.sums,
            sender,
            "sealed a sum that is to be published.",
            clause="publish.sums",
        )
    if isinstance(body, Release):
        must_be(
            bool(body.values) == agreement.publish.sums,
            sender,
            "published a sum that stays sealed." if body.values else "kept the sum to itself.",
            clause="publish.sums",
        )
        must_be(
            bool(body.secret_key) == agreement.publish.feature_key,
            sender,
            "published the feature key." if body.secret_key else "kept the feature key to itself.",
            clause="publish.feature_key",
        )
