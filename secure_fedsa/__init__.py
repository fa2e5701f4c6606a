"""Privacy-hardened knowledge amalgamation across institutions.

    >>> import secure_fedsa as sf
    >>> sf.parse_agreement  # doctest: +ELLIPSIS
    <function parse at ...>
    >>> import secure_fedsa.engines.local  # brings the plan with it, not in its place
    >>> sf.plan  # doctest: +ELLIPSIS
    <function plan at ...>

The names below are the public interface; everything else may move.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement
    from secure_fedsa.agreement import parse as parse_agreement
    from secure_fedsa.engines.data_register import DataRegister
    from secure_fedsa.engines.local import LocalRun
    from secure_fedsa.engines.student import StudentTask, StudentWorkshop
    from secure_fedsa.engines.student_labels import StudentLabels
    from secure_fedsa.errors import SecureFedsaError
    from secure_fedsa.models.adapters import TeacherAdapter
    from secure_fedsa.models.encoder import PublicEncoder
    from secure_fedsa.models.multi_task import TargetTask, amalgamate_tasks, distil_tasks
    from secure_fedsa.models.teachers import PrivateData, PrivateModel, TrainedModel
    from secure_fedsa.planning import Plan, plan

__version__ = version("secure-fedsa")

__all__ = [
    "Agreement",
    "DataRegister",
    "LocalRun",
    "Plan",
    "PrivateData",
    "PrivateModel",
    "PublicEncoder",
    "SecureFedsaError",
    "StudentLabels",
    "StudentTask",
    "StudentWorkshop",
    "TargetTask",
    "TeacherAdapter",
    "TrainedModel",
    "amalgamate_tasks",
    "distil_tasks",
    "parse_agreement",
    "plan",
]

# Resolved on first use: torch and tenseal take seconds to import.
_HOMES = {
    "Agreement": ("secure_fedsa.agreement", "Agreement"),
    "DataRegister": ("secure_fedsa.engines.data_register", "DataRegister"),
    "LocalRun": ("secure_fedsa.engines.local", "LocalRun"),
    "Plan": ("secure_fedsa.planning", "Plan"),
    "PrivateData": ("secure_fedsa.models.teachers", "PrivateData"),
    "PrivateModel": ("secure_fedsa.models.teachers", "PrivateModel"),
    "PublicEncoder": ("secure_fedsa.models.encoder", "PublicEncoder"),
    "SecureFedsaError": ("secure_fedsa.errors", "SecureFedsaError"),
    "StudentTask": ("secure_fedsa.engines.student", "StudentTask"),
    "StudentLabels": ("secure_fedsa.engines.student_labels", "StudentLabels"),
    "StudentWorkshop": ("secure_fedsa.engines.student", "StudentWorkshop"),
    "TargetTask": ("secure_fedsa.models.multi_task", "TargetTask"),
    "TeacherAdapter": ("secure_fedsa.models.adapters", "TeacherAdapter"),
    "TrainedModel": ("secure_fedsa.models.teachers", "TrainedModel"),
    "amalgamate_tasks": ("secure_fedsa.models.multi_task", "amalgamate_tasks"),
    "distil_tasks": ("secure_fedsa.models.multi_task", "distil_tasks"),
    "parse_agreement": ("secure_fedsa.agreement", "parse"),
    "plan": ("secure_fedsa.planning", "plan"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, attribute = _HOMES[name]
    return getattr(import_module(home), attribute)
