"""What a run spends, sends and takes, worked out before it starts."""

from secure_fedsa.planning.promises import (
    Accounting,
    Plan,
    PlanError,
    Promises,
    check_promises,
    plan,
)

__all__ = ["Accounting", "Plan", "PlanError", "Promises", "check_promises", "plan"]
