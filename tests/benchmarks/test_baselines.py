"""A baseline that does not learn, or not the same thing twice, is no competitor."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.baselines import dp_sgd, fedavg, federated, fedprox
from benchmarks.baselines.job import Job, Outcome, SharedWork, tensors_of
from benchmarks.baselines.networks import SHAPES, Network, extractor
from benchmarks.baselines.training import average_into
from benchmarks.utility.registry import METHODS, Method
from secure_fedsa.entropy import training_generator
from secure_fedsa.errors import PrivacyParameterError

TRAINED = [method for method in METHODS if method.route != "noisy-release"]
SILENT = {"scratch", "self-training"}


def fresh(job: Job) -> Job:
    return replace(job, shared=SharedWork())


@pytest.mark.parametrize("method", TRAINED, ids=lambda method: method.name)
def test_learns_on_tables(job: Job, method: Method) -> None:
    # So little noise that chance does not decide; what noise does, the benchmark shows.
    found = method.run(replace(job, epsilon=50.0))
    assert found.accuracy > 0.5  # chance is a third
    assert (found.payload_bytes == 0) == (method.name in SILENT)


@pytest.mark.parametrize(
    "method", [m for m in TRAINED if m.route == "none"], ids=lambda method: method.name
)
def test_what_draws_nothing_secret_repeats(job: Job, method: Method) -> None:
    assert method.run(job) == method.run(fresh(job))


@pytest.mark.parametrize("method", TRAINED, ids=lambda method: method.name)
def test_runs_on_images(image_job: Job, method: Method) -> None:
    assert isinstance(method.run(image_job), Outcome)


def test_the_teachers_are_trained_once_and_charged_to_all(job: Job) -> None:
    made = []

    def make() -> int:
        made.append(1)
        return 7

    assert job.shared.once("x", make) == job.shared.once("x", make) == 7
    assert len(made) == 1
    assert job.shared.saved_seconds > 0


def test_fedprox_without_its_term_is_fedavg(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedprox, "MU", 0.0)
    assert fedprox.run(job) == fedavg.run(fresh(job))


def test_the_proximal_term_holds_the_extractor_back(job: Job) -> None:
    task = tensors_of(job)
    # Several steps: the first one starts where the term is zero.
    values, labels = (torch.cat([one] * 5) for one in task.teachers[0])
    moves = []
    for proximal in (0.0, 10.0):
        network = Network(task.inputs, 2, training_generator(0, "proximal"))
        start = [parameter.detach().clone() for parameter in extractor(network)]
        draw = training_generator(0, "proximal, local")
        federated._local_round(network, values, labels, 0.01, proximal, draw)
        ends = zip(extractor(network), start, strict=True)
        moves.append(sum(float((a - b).detach().square().sum()) for a, b in ends))
    assert moves[1] < moves[0]


def test_averaging_averages(image_job: Job) -> None:
    inputs = tensors_of(image_job).inputs
    one, two, target = (
        Network(inputs, 3, training_generator(number, "average")) for number in range(3)
    )
    average_into(extractor(target), [extractor(one), extractor(two)], [1.0, 3.0])
    for a, b, mean in zip(extractor(one), extractor(two), extractor(target), strict=True):
        torch.testing.assert_close(mean, (a + 3 * b) / 4)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_reads_map_features_and_logits(image_job: Job, shape: str) -> None:
    task = tensors_of(image_job)
    generator = training_generator(0, shape)
    network = Network(task.inputs, 3, generator, shape=shape)  # type: ignore[arg-type]
    assert network.map(task.probes).shape[:2] == (150, network.channels)
    assert network.features(task.probes).shape == (150, network.width)
    assert network(task.probes).shape == (150, 3)


@pytest.mark.parametrize("shape", ["contrast", "narrow"])
def test_a_dim_record_looks_like_a_bright_one(image_job: Job, shape: str) -> None:
    task = tensors_of(image_job)
    network = Network(task.inputs, 3, training_generator(0, shape), shape=shape)  # type: ignore[arg-type]
    bright = task.probes[:20]
    torch.testing.assert_close(
        network.features(0.5 * bright - 1), network.features(bright), rtol=0.1, atol=0.05
    )


def test_dp_sgd_without_a_budget_is_refused(job: Job) -> None:
    with pytest.raises(PrivacyParameterError):
        dp_sgd.run(replace(job, epsilon=None))


def test_dp_sgd_noise_grows_as_epsilon_falls() -> None:
    assert dp_sgd.noise_multiplier(1.0, 1e-5, 20) > dp_sgd.noise_multiplier(8.0, 1e-5, 20) > 0
