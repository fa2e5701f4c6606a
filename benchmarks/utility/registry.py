"""The methods of the benchmark: one line adds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.baselines import (
    central,
    dp_sgd,
    fedavg,
    fedmd,
    fedprox,
    fedsa,
    kacc,
    scratch,
    self_training,
    soka,
    transfer,
)
from benchmarks.baselines.job import Job, Outcome
from benchmarks.utility import models, scatter

Route = Literal["noisy-release", "private-training", "encryption-only", "none"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    Attributes:
        name: In rows, tables and on the command line.
        route: Which of the design's routes protects the teachers' records; "none" where
            nothing does, or where no teacher takes part.
        run: Does the job.
        takes_epsilon: Whether it runs once an epsilon, or once.
    """

    name: str
    route: Route
    run: Callable[[Job], Outcome]
    takes_epsilon: bool = False


METHODS: tuple[Method, ...] = (
    Method("secure-fedsa (scatter)", "noisy-release", scatter.run, takes_epsilon=True),
    Method(
        "secure-fedsa (scatter, compact network)",
        "noisy-release",
        scatter.run_network,
        takes_epsilon=True,
    ),
    Method(
        "secure-fedsa (private heads)",
        "private-training",
        scatter.run_private_heads,
        takes_epsilon=True,
    ),
    Method("secure-fedsa (sketch, six kinds of models)", "encryption-only", models.run_sketch),
    Method("secure-fedsa (Gram, six kinds of models)", "encryption-only", models.run_gram),
    Method("dp-sgd", "private-training", dp_sgd.run, takes_epsilon=True),
    Method("scratch", "none", scratch.run),
    Method("self-training", "none", self_training.run),
    Method("transfer", "none", transfer.run),
    Method("fedsa", "none", fedsa.run),
    Method("kacc", "none", kacc.run),
    Method("soka", "none", soka.run),
    Method("fedmd", "none", fedmd.run),
    Method("fedavg+", "none", fedavg.run),
    Method("fedprox+", "none", fedprox.run),
    Method("central", "none", central.run),
)
