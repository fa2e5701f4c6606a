"""What a receipt states of several trainings: the worst, whoever it is."""

from __future__ import annotations

import pytest

from secure_fedsa.audit.ledgers import account
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.training_accountant import training_epsilon
from tests.routes import STATED, TRAINING, private_training
from tests.support import teacher_names, toy_agreement


@pytest.mark.parametrize("noise", [TRAINING.noise_multiplier, 4.0])
def test_the_costliest_training_is_stated(noise: float) -> None:
    """If this fails, a teacher that lost more than others is told the others' epsilon."""
    parties = (*teacher_names(3), AGGREGATOR, KEY_HOLDER, STUDENT)
    keys = {name: f"{number:064x}" for number, name in enumerate(parties, 5)}
    shape = private_training(stated=["teacher-2"], noise_multiplier=noise)
    agreement = shape(toy_agreement(keys))
    delta = agreement.promise.delta
    costs = [
        training_epsilon([DpSgdTraining(how.noise_multiplier, how.sampling_rate, how.steps)], delta)
        for how in (agreement.training, STATED)
        if how is not None
    ]
    assert costs[0] != costs[1]
    found = account({}, agreement)
    assert found is not None
    assert (found.epsilon, found.delta) == (max(costs), delta)
