"""What a run spends, sends and takes, worked out before it starts."""

from secure_fedsa.plan.promises import Plan, PlanError, plan

__all__ = ["Plan", "PlanError", "plan"]
