"""Whole runs of the routes whose teachers are models, in the small world."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.entropy import SeededNoise, secret_projection
from secure_fedsa.errors import AgreementError, LedgerError, RunAborted
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.attribution import Attribution, attribution_saliency
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder
from secure_fedsa.models.teachers import Brought, PrivateData, PrivateModel, TrainedModel
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import DpSgdTraining, Unprotected
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.model_teachers import model_to_ask
from secure_fedsa.signals import Signal
from secure_fedsa.wire import canonical
from secure_fedsa.wire.envelope import parse
from tests.engines.test_crashes import run_with_crashes
from tests.routes import (
    ASKED,
    BOUND,
    PROMISE,
    WIDTH_OF_SKETCH,
    Form,
    Shape,
    deep_network,
    encryption_only,
    image_encoder,
    image_network,
    image_probes,
    images,
    learn,
    private_training,
    small_network,
    start,
    trained_models,
)
from tests.support import CLASSES, Public, World, encoder, make_world, probes, table, tables

PLAIN = {"he": False, "masks": False}
"""Encryption off, where differential privacy is on: the same effects, in a third of the time."""


def models_world(folder: Path, shape: Shape, teachers: int = 4, **changes: Any) -> World:
    """Return a world of models that were trained before the run."""
    return World(folder, {}, changes, brought=dict(trained_models(teachers)), shape=shape)


def private_world(folder: Path, shape: Shape, teachers: int = 3, **changes: Any) -> World:
    """Return a world of records, to train on in the run; encryption is off unless asked for."""
    world = make_world(folder, teachers, **{"protection": PLAIN, **changes})
    world.shape = shape
    return world


def image_world(folder: Path, saliency: Attribution, **changes: Any) -> World:
    """Return a world of three convolutional networks, each of its own width."""
    own = TeacherAdapter(learn(image_network(), *images(2000, 60), steps=25))
    asked = attribution_saliency(own, image_probes(), saliency, values=6 * 7 // 2)
    world = World(folder, {}, changes, public=Public(image_encoder(), image_probes(), asked, 6))
    for number in range(1, 4):
        module = learn(image_network(2 + number), *images(number, 60), seed=number, steps=25)
        world.brought[f"teacher-{number}"] = TrainedModel(TeacherAdapter(module))
    world.shape = encryption_only("scatter", saliency)
    return world


def told(run: LocalRun) -> dict[str, Signal]:
    """Keep what each teacher's model says, as its site learns it."""
    seen: dict[str, Signal] = {}
    for name in run.agreement.teachers:
        site = run.sites[name]

        def ask(original: Callable[[], Signal] = site.ask_model, name: str = name) -> Signal:
            seen[name] = original()
            return seen[name]

        site.ask_model = ask  # type: ignore[method-assign]
    return seen


def charges(run: LocalRun) -> dict[str, list[str]]:
    """Return the runs that each teacher's ledger was charged for."""
    return {
        name: list(site.ledger.books().charges)
        for name, site in run.sites.items()
        if site.ledger is not None
    }


# --- the sum is the sum of what the models say ---------------------------------------


def _standard(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Centre columns, and scale to a mean squared row length of 1."""
    centred = values - values.mean(axis=0)
    return np.asarray(centred / np.sqrt((centred**2).sum(axis=1).mean()))


def _said(brought: TrainedModel) -> npt.NDArray[np.float64]:
    """Return features beside outputs of one toy model, found without its adapter."""
    asked, model = probes()[:ASKED], brought.adapter.model
    if isinstance(model, LogisticRegression):
        outputs = model.predict_proba(asked.astype(np.float64))
        features = outputs
    else:
        assert isinstance(model, nn.Sequential)
        with torch.no_grad():
            entering = torch.from_numpy(asked)
            # A deep network's features were named: layer 1. Others': what enters the last one.
            last = 2 if len(model) > 3 else len(model) - 1
            hidden = model[:last](entering)
            features = hidden.double().numpy()
            outputs = model(entering).softmax(dim=1).double().numpy()
    both = np.concatenate([_standard(features), _standard(outputs)], axis=1)
    return _standard(both)


def _expected(form: Form, said: npt.NDArray[np.float64], projection: Any) -> npt.NDArray[np.int64]:
    """Return the integers of one model's signal, by the definition of its form."""
    if form == "sketch":
        values = (said @ projection / np.sqrt(WIDTH_OF_SKETCH)).ravel()
        largest = 8 / np.sqrt(WIDTH_OF_SKETCH)
    elif form == "gram":
        gram = said @ said.T / ASKED
        values, largest = gram[np.triu_indices(ASKED)], 16 / ASKED
    else:
        encoded = encoder().encode_clipped(probes()[:ASKED])[0]
        across = (encoded - encoded.mean(axis=0)).T @ said / ASKED
        scatter = across @ across.T
        values, largest = scatter[np.triu_indices(len(scatter))], 1.0
    steps = np.trunc(np.clip(values, -largest, largest) * (BOUND / largest))
    return np.asarray(steps, dtype=np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sketch", "gram", "scatter"])
def test_the_released_sum_is_of_what_models_of_any_kind_say(
    tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, the student learns from something that no teacher's model said."""
    drawn: list[npt.NDArray[np.float64]] = []
    original = secret_projection

    def project(rows: int, columns: int) -> npt.NDArray[np.float64]:
        drawn.append(original(rows, columns))
        return drawn[-1]

    monkeypatch.setattr("secure_fedsa.engines.site.secret_projection", project)
    world = models_world(tmp_path, encryption_only(form), publish={"scores": "values"})
    run = world.local_run()
    seen = told(run)
    outcome = run.execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    (released,) = world.released
    assert released.members == run.agreement.teachers
    assert np.array_equal(released.values, sum(signal.features for signal in seen.values()))
    if form == "sketch":
        assert len(drawn) == 4
        assert len({one.tobytes() for one in drawn}) == 4  # one secret each, used once
        assert {one.shape[1] for one in drawn} == {WIDTH_OF_SKETCH}
    projections = iter(drawn)
    off = 0
    for name, brought in trained_models().items():
        wanted = _expected(form, _said(brought), next(projections, None))
        assert len(wanted) == run.agreement.feature_values
        gap = np.abs(wanted - seen[name].features)
        assert gap.max() <= 1 + 1e-5 * np.abs(wanted).max()  # 32-bit floats, then truncated
        off += int(gap.max() > 0)
    assert np.abs(released.values).max() > BOUND // 100
    for name, runs in charges(run).items():
        assert runs == [outcome.run_id], name
    ledger = run.sites["teacher-1"].ledger
    assert ledger is not None
    assert ledger.spent().epsilon == float("inf")
    charge = ledger.books().charges[outcome.run_id]
    assert (charge.events, charge.terms) == ((Unprotected(),), None)


@pytest.mark.slow
@pytest.mark.parametrize("saliency", ["grad-cam", "input-x-gradient"])
def test_networks_may_compare_attribution_maps_with_the_students(
    tmp_path: Path, saliency: Attribution
) -> None:
    """If this fails, an institution cannot run FedSA's own comparison under encryption."""
    world = image_world(tmp_path, saliency)
    run = world.local_run()
    seen = told(run)
    outcome = run.execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    (released,) = world.released
    assert np.array_equal(released.values, sum(signal.features for signal in seen.values()))
    agreement = run.agreement
    for name, signal in seen.items():
        brought = world.brought[name]
        assert isinstance(brought, TrainedModel)
        asked = image_probes()[:ASKED]
        maps = attribution_saliency(brought.adapter, asked, saliency, values=21)
        steps = 2 ** (agreement.saliency.bits - 1) - 1
        expected = np.trunc(maps / agreement.saliency.teacher_bound * steps)
        assert np.array_equal(signal.saliency, expected)
        assert signal.saliency.any()


HEADS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Any], Any]]] = {
    "classification": (small_network, lambda _records, labels: labels),
    "multi-label": (
        lambda: small_network(8, 3),
        lambda _records, labels: np.eye(3)[labels].astype(np.int64),
    ),
    "regression": (lambda: small_network(8, 1), lambda records, _labels: records.sum(axis=1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_a_module_of_any_head_is_trained_privately_in_the_run(tmp_path: Path, head: Any) -> None:
    """If this fails, only classifiers can be private teachers."""
    make, aim = HEADS[head]
    world = private_world(tmp_path, private_training("scatter"))
    records, labels = table(1, 200)
    module = make()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    world.brought["teacher-1"] = PrivateModel(module, records, aim(records, labels), head=head)
    run = world.local_run()
    seen = told(run)
    outcome = run.execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    # What was brought is left as it was: a copy was trained, and is gone with the run.
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert seen["teacher-1"].features.any()
    (released,) = world.released
    assert np.array_equal(released.values, sum(signal.features for signal in seen.values()))
    ledger = run.sites["teacher-1"].ledger
    assert ledger is not None
    charge = ledger.books().charges[outcome.run_id]
    assert charge.events == (DpSgdTraining(2.0, 0.5, 12),)
    assert not charge.stated
    assert ledger.spent().epsilon == Amount.of(charge.events).epsilon(PROMISE.delta)


@pytest.mark.slow
def test_private_training_under_real_encryption_with_every_kind_of_teacher(
    tmp_path: Path,
) -> None:
    """If this fails, the route works in tests without ciphertexts only."""
    world = make_world(tmp_path, 4)
    world.shape = private_training("sketch", stated=["teacher-3"])
    records, labels = table(1, 200)
    world.brought["teacher-2"] = PrivateModel(deep_network(), records, labels, features="1")
    learnt = learn(small_network(7), *table(2, 200))
    world.brought["teacher-3"] = TrainedModel(TeacherAdapter(learnt))
    run = world.local_run()
    seen = told(run)
    outcome = run.execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    (released,) = world.released
    assert np.array_equal(released.values, sum(signal.features for signal in seen.values()))
    found = {}
    for name in run.agreement.teachers:
        ledger = run.sites[name].ledger
        assert ledger is not None
        charge = ledger.books().charges[outcome.run_id]
        found[name] = charge.events, charge.stated
    trained = (DpSgdTraining(2.0, 0.5, 12),), False
    assert found == {
        "teacher-1": trained,
        "teacher-2": trained,
        "teacher-3": ((DpSgdTraining(2.5, 0.5, 10),), True),
        "teacher-4": trained,
    }


# --- order, crashes, resumption --------------------------------------------------------


@pytest.mark.slow
def test_the_ledger_is_charged_before_a_model_is_trained_or_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that was trained on before its charge is durable would be looked at for free."""
    world = private_world(tmp_path, private_training(stated=["teacher-2"]))
    world.brought["teacher-2"] = trained_models(2)["teacher-2"]
    run = world.local_run()
    orders: dict[str, list[str]] = {}
    durable: dict[str, bool] = {}

    def observe(party: str, effect: fx.Effect) -> None:
        match effect:
            case fx.Persist(record=fx.ReserveCharge()):
                orders.setdefault(party, []).append("charge")
            case fx.AskModel():
                orders.setdefault(party, []).append("ask")
            case fx.Persist(record=fx.CommitCharge()):
                orders.setdefault(party, []).append("commit")
            case fx.DrawEntropy(draw=fx.NoiseDraw()) | fx.ReadPrivate():
                raise AssertionError(f"{party} sums records in a route of models")

    original = model_to_ask

    def watched(*arguments: Any, **more: Any) -> Any:
        name = more["teacher"]
        ledger = run.sites[name].ledger
        assert ledger is not None
        durable[name] = bool(ledger.books().charges)  # read from the disk again
        return original(*arguments, **more)

    monkeypatch.setattr("secure_fedsa.engines.site.model_to_ask", watched)
    run.execute(observe=observe)
    assert orders == {name: ["charge", "ask", "commit"] for name in run.agreement.teachers}
    assert durable == dict.fromkeys(run.agreement.teachers, True)


CRASHING: dict[str, Callable[[Path], World]] = {
    "private-training": lambda folder: private_world(
        folder, private_training("scatter"), publish={"ciphertexts": False, "sums": False}
    ),
    "encryption-only": lambda folder: models_world(folder, encryption_only("scatter"), 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("route", CRASHING)
def test_a_crash_between_any_two_effects_charges_once_and_releases_once(
    tmp_path: Path, route: str
) -> None:
    """A crash must never charge twice, or let two trainings out under one charge."""
    world = CRASHING[route](tmp_path)
    if route == "private-training":
        records, labels = table(1, 200)
        world.brought["teacher-2"] = PrivateModel(small_network(), records, labels)
    outcome, crashes = run_with_crashes(world)
    assert (outcome.problem, outcome.refused) == ("", ())
    assert crashes > 100
    run = world.local_run()
    assert charges(run) == {name: [outcome.run_id] for name in run.agreement.teachers}
    for name in run.agreement.teachers:
        ledger = run.sites[name].ledger
        assert ledger is not None
        kinds = [entry["kind"] for entry in ledger.segment(outcome.run_id)]
        assert kinds == ["reserve", "commit", "roster-opened", "erasure"]
    release_log = run.sites["key-holder"].release_log
    assert release_log is not None
    (entry,) = release_log.entries()
    assert entry["body"]["run_id"] == outcome.run_id
    assert len({released.values.tobytes() for released in world.released}) == 1


@pytest.mark.slow
def test_a_journal_that_was_set_back_trains_no_second_model(tmp_path: Path) -> None:
    """Two models under one charge would tell twice what was paid for once."""
    world = private_world(tmp_path, private_training())
    run = world.local_run()
    outcome = run.execute()
    site = run.sites["teacher-1"]
    with pytest.raises(LedgerError, match="journal was set back"):
        site.persist(fx.ReserveCharge(), outcome.run_id)


@pytest.mark.slow
def test_runs_add_up_until_the_budget_is_spent(tmp_path: Path) -> None:
    """A budget that trainings do not count against is no budget."""
    tight = replace(PROMISE, agreement_budget=6.8, data_set_budget=6.8)  # two trainings: 6.3
    world = private_world(tmp_path, private_training("scatter", promise=tight))
    assert world.local_run().plan.runs_in_budget == 2
    for number in range(2):
        run = world.local_run()
        run.execute()
        run.discard()
        ledger = run.sites["teacher-1"].ledger
        assert ledger is not None
        assert ledger.spent().epsilon == pytest.approx(
            Amount.of([DpSgdTraining(2.0, 0.5, 12 * (number + 1))]).epsilon(PROMISE.delta)
        )
    run = world.local_run()
    with pytest.raises(RunAborted, match=r"privacy\.agreement_budget.*Nothing was charged"):
        run.execute()
    assert {len(runs) for runs in charges(run).values()} == {2}


@pytest.mark.slow
def test_after_a_use_without_protection_no_promise_is_made(tmp_path: Path) -> None:
    """If this fails, an epsilon is stated for records that were already given away."""
    world = models_world(tmp_path, encryption_only("scatter"), 3)
    run = world.local_run()
    run.execute()
    run.discard()
    again = private_world(tmp_path, private_training("scatter"))
    run = again.local_run()
    with pytest.raises(RunAborted, match="without differential privacy before"):
        run.execute()
    assert {len(runs) for runs in charges(run).values()} == {1}


# --- what a start and a bad record leave behind -----------------------------------------


def simulated(folder: Path, module: nn.Module, records: Any, labels: Any) -> Signal:
    """Return the signal of a module under the one seeded noise of these tests."""
    world = private_world(folder, private_training("gram"), simulation=True)
    world.noise = SeededNoise(5)
    world.brought["teacher-1"] = PrivateModel(module, records, labels)
    site = world.local_run().sites["teacher-1"]
    assert site.preflight() == ""
    return site.ask_model()


def test_nothing_of_an_earlier_training_enters(tmp_path: Path) -> None:
    """A module that knew the records already would tell them without having been charged."""
    records, labels = table(1, 200)
    fresh = simulated(tmp_path / "a", start(small_network(), 1), records, labels)
    knowing = learn(small_network(), records, labels, steps=80)
    knew = simulated(tmp_path / "b", knowing, records, labels)
    assert np.array_equal(fresh.features, knew.features)
    assert np.array_equal(fresh.saliency, knew.saliency)
    assert fresh.features.any()


def _spoilt(records: Any, labels: Any) -> tuple[Any, Any]:
    """Return records of which some can be used by nobody, in every way that there is."""
    records, labels = records.copy(), labels.copy()
    records[0, 2] = np.nan
    records[1] = np.inf
    labels[2], labels[3] = -1, len(CLASSES)
    return records, labels


@pytest.mark.parametrize("kind", ["records", "module"])
def test_a_record_that_cannot_be_used_contributes_nothing(tmp_path: Path, kind: str) -> None:
    """If this fails, one broken record spoils the model, and everybody sees that there is one."""
    clean, goals = table(1, 200)
    signals = []
    for number, (records, labels) in enumerate(
        (
            _spoilt(clean, goals),
            # The same places are taken, by records that only the labels make unusable.
            (clean, np.where(np.arange(200) < 4, -1, goals)),
        )
    ):
        world = private_world(tmp_path / str(number), private_training("gram"), simulation=True)
        world.noise = SeededNoise(5)
        brought: Brought = PrivateData(records, labels)
        if kind == "module":
            brought = PrivateModel(small_network(), records, labels)
        world.brought["teacher-1"] = brought
        site = world.local_run().sites["teacher-1"]
        assert site.preflight() == ""
        signals.append(site.ask_model())
    assert np.array_equal(signals[0].features, signals[1].features)
    assert np.array_equal(signals[0].saliency, signals[1].saliency)
    assert signals[0].features.any()


def _visible(outcome: Outcome) -> list[tuple[str, str, str, int]]:
    """Return sender, recipient, kind and length of every message."""
    found = []
    for data in outcome.envelopes:
        header = parse(data).header
        found.append((header.sender, header.recipient, header.kind, len(data)))
    return sorted(found)


@pytest.mark.slow
def test_a_record_that_cannot_be_used_is_not_seen_in_what_is_sent(tmp_path: Path) -> None:
    """A message more, or a longer one, would tell everybody what is in a private record."""
    seen = []
    for number, spoil in enumerate((False, True)):
        # Published scores are numbers of their own lengths.
        publish = {"scores": "none", "ciphertexts": False, "sums": False}
        world = private_world(tmp_path / str(number), private_training("scatter"), publish=publish)
        records, labels = table(1, 200)
        if spoil:
            records, labels = _spoilt(records, labels)
            world.data["teacher-1"] = PrivateData(records, labels)
        world.brought["teacher-2"] = PrivateModel(small_network(), records, labels)
        outcome = world.local_run().execute()
        assert (outcome.problem, outcome.refused) == ("", ())
        seen.append(_visible(outcome))
    assert seen[0] == seen[1]


# --- refused before any charge ------------------------------------------------------------


class Beside(nn.Module):
    """Answers with what is beside a record."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(6, 3)

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.line(records - records.mean(dim=0)))


class Jumbled(nn.Module):
    """Forgets half of its hidden layer at random while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 3))

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.body(records))


RECORDS, LABELS = table(1, 50)
CLASSIFIER = LogisticRegression().fit(RECORDS.astype(np.float64), LABELS)


def trained(model: Any, **more: Any) -> TrainedModel:
    """Return a model that was trained before the run."""
    return TrainedModel(TeacherAdapter(model, **more))


def private(module: nn.Module, targets: Any = LABELS, **more: Any) -> PrivateModel:
    """Return a module to train on the toy records."""
    return PrivateModel(module, more.pop("records", RECORDS), targets, **more)


SHAPES: dict[str, Shape | None] = {
    "noisy": None,
    "private": private_training("scatter"),
    "stated": private_training("scatter", stated=["teacher-1"]),
    "encrypted": encryption_only("scatter"),
    "maps": private_training("scatter", "input-x-gradient"),
    "encrypted maps": encryption_only("scatter", "grad-cam"),
}
REFUSED: dict[str, tuple[str, Callable[[], Brought], str]] = {
    "a trained model that nobody stated": (
        "private",
        lambda: trained(small_network()),
        r"^parties\.teacher-1\.stated: is missing",
    ),
    "records where a training was stated": (
        "stated",
        lambda: PrivateData(RECORDS, LABELS),
        r"^parties\.teacher-1\.stated: states a training",
    ),
    "a module where a training was stated": (
        "stated",
        lambda: private(small_network()),
        r"^parties\.teacher-1\.stated: states a training",
    ),
    "records where models are asked": (
        "encrypted",
        lambda: PrivateData(RECORDS, LABELS),
        "^route: is encryption-only, and teacher-1 brings no trained model",
    ),
    "a module to train where models are asked": (
        "encrypted",
        lambda: private(small_network()),
        "^route: is encryption-only, and teacher-1 brings no trained model",
    ),
    "a model where records are summed": (
        "noisy",
        lambda: trained(small_network()),
        "^route: is noisy-release, and teacher-1 brings a model",
    ),
    "a module where records are summed": (
        "noisy",
        lambda: private(small_network()),
        "^route: is noisy-release, and teacher-1 brings a model",
    ),
    "batch normalisation": (
        "private",
        lambda: private(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))),
        r"Layer '1' is a BatchNorm1d",
    ),
    "a buffer": (
        "private",
        lambda: private(_with_buffer()),
        "keeps 'kept'",
    ),
    "nothing to train": (
        "private",
        lambda: private(small_network().requires_grad_(False)),
        "nothing to train",
    ),
    "dropout": ("private", lambda: private(Jumbled()), "other records are beside it"),
    "records mixed": ("private", lambda: private(Beside()), "other records are beside it"),
    "too many logits": (
        "private",
        lambda: private(small_network(8, 5)),
        r"^parties\.teacher-1\.classes: are 3; its model tells 5 apart",
    ),
    "a logit too few": (
        "private",
        lambda: private(small_network(8, 2)),
        r"3 classes do not go with a module that returns \(2,\) a record",
    ),
    "a trained model of other classes": (
        "encrypted",
        lambda: trained(small_network(8, 2)),
        r"^parties\.teacher-1\.classes: are 3; its model tells 2 apart",
    ),
    "targets of another number": (
        "private",
        lambda: private(small_network(), LABELS[:-1]),
        "teacher-1 has not one target for each record",
    ),
    "labels of another number": (
        "private",
        lambda: PrivateData(RECORDS, LABELS[:-1]),
        "teacher-1 has not one label for each record",
    ),
    "labels that are no whole numbers": (
        "private",
        lambda: private(small_network(), LABELS.astype(np.float32)),
        "Targets of float32 are not what classification learns from",
    ),
    "targets that are no numbers": (
        "private",
        lambda: private(small_network(), np.array(CLASSES)[LABELS], head="regression"),
        "are not what regression learns from",
    ),
    "one label where there are three": (
        "private",
        lambda: private(small_network(), LABELS, head="multi-label"),
        "do not go with a module that returns",
    ),
    "values of another width": (
        "private",
        lambda: private(small_network(8, 2), np.zeros((50, 3)), head="regression"),
        "do not go with a module that returns",
    ),
    "records that the module does not take": (
        "private",
        lambda: private(small_network(), records=np.zeros((50, 7), dtype=np.float32)),
        r"teacher-1's records have the shape \(7,\), the probes \(6,\)",
    ),
    "a module that takes no probe": (
        "private",
        lambda: private(nn.Sequential(nn.Linear(7, 3))),
        r"cannot take records of shape \(6,\)",
    ),
    "a preparation that standardises by what it is given": (
        "private",
        lambda: private(small_network(), prepare=_standardised),
        "`prepare` makes something else of a record when other records are beside it",
    ),
    "no layer of features": (
        "encrypted",
        lambda: trained(_Sum()),
        "has no Linear, which the choice of its features",
    ),
    "maps of tables": (
        "maps",
        lambda: private(small_network()),
        "Attribution maps need images",
    ),
    "maps of a classifier of the encoding": (
        "maps",
        lambda: PrivateData(RECORDS, LABELS),
        r"^answers\.saliency: is input-x-gradient, and teacher-1's classifier",
    ),
    "maps of an estimator": (
        "encrypted maps",
        lambda: trained(CLASSIFIER),
        "LogisticRegression has no gradients",
    ),
}


def _standardised(records: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.asarray(records - records.mean(axis=0), dtype=np.float32))


class _Sum(nn.Module):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return records[:, :3]


def _with_buffer() -> nn.Module:
    module = small_network()
    module.register_buffer("kept", torch.zeros(3))
    return module


def refusing_world(folder: Path, route: str, brought: Brought) -> World:
    """Return a world whose first teacher brings what the others would not."""
    shape = SHAPES[route]
    changes: dict[str, Any] = {} if route.startswith("encrypted") else {"protection": PLAIN}
    world = World(folder, {}, changes, shape=shape)
    world.brought = dict(trained_models(3)) if route.startswith("encrypted") else {}
    if not world.brought:
        world = private_world(folder, shape or (lambda agreement: agreement), **changes)
    world.brought["teacher-1"] = brought
    if "maps" in route:  # five directions have no sixteen values
        wide = PublicEncoder.fit(probes(), EncoderSpec(dimension=6, units=16))
        world.public = Public(wide, probes(), np.ones(21), 6)
    return world


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_route_does_not_take_is_refused_before_any_charge(tmp_path: Path, case: str) -> None:
    """Privacy would be spent on a run that can only fail, or records trained on unaccounted."""
    route, bring, words = REFUSED[case]
    run = refusing_world(tmp_path, route, bring()).local_run()
    said = run.sites["teacher-1"].preflight()
    assert re.search(words, said), said
    assert run.sites["teacher-2"].preflight() == "" or "maps" in route


@pytest.mark.parametrize(
    "case",
    [
        "a trained model that nobody stated",
        "records where a training was stated",
        "a module where records are summed",
        "dropout",
        "one label where there are three",
        "maps of a classifier of the encoding",
    ],
)
def test_a_refusal_ends_the_run_and_charges_nobody(tmp_path: Path, case: str) -> None:
    """A teacher that finds its own mistake must not cost the others their privacy."""
    route, bring, words = REFUSED[case]
    run = refusing_world(tmp_path, route, bring()).local_run()
    with pytest.raises(RunAborted, match="Nothing was charged") as caught:
        run.execute()
    assert re.search(words.lstrip("^"), str(caught.value)), str(caught.value)
    assert charges(run) == {name: [] for name in run.agreement.teachers}


def test_too_few_probes_are_refused_before_any_charge(tmp_path: Path) -> None:
    """If this fails, models are asked about fewer probes than was agreed, or charged for none."""
    world = private_world(tmp_path, private_training("scatter"))
    few = probes()[: ASKED - 1]
    world.public = Public(encoder(), few, tables().query)
    run = world.local_run()
    said = run.sites["teacher-1"].preflight()
    assert said.startswith(f"answers.probes: is {ASKED}, and there are {ASKED - 1} probes")
    with pytest.raises(RunAborted, match=r"answers\.probes.*Nothing was charged"):
        run.execute()
    assert charges(run) == {name: [] for name in run.agreement.teachers}


def test_a_wrong_probe_is_refused_by_teachers_too(tmp_path: Path) -> None:
    """If this fails, a model is asked about records that somebody slipped in for the probes."""
    run = private_world(tmp_path, private_training("scatter")).local_run()
    site = run.sites["teacher-1"]
    site.probes = probes()[::-1].copy()
    assert site.preflight().startswith("encoder.probes_sha256: teacher-1 holds other probes")


def test_seeded_noise_trains_no_real_model(tmp_path: Path) -> None:
    """Anybody who knows the seed takes the noise out of the trained model again."""
    world = private_world(tmp_path, private_training())
    world.noise = SeededNoise(1)
    with pytest.raises(AgreementError, match="simulation"):
        world.local_run()


# --- failures after the charge ---------------------------------------------------------------


class _Fails:
    """Answers two probes, and then tells what nobody else may read."""

    def predict_proba(self, records: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if len(records) > 2:
            raise ValueError("patient 17 has no such record")
        return np.full((len(records), len(CLASSES)), 1 / len(CLASSES))


@pytest.mark.slow
def test_a_model_that_cannot_answer_tells_its_own_operator_only(tmp_path: Path) -> None:
    """A model's own words may hold what it learnt: they must not go to the others."""
    world = models_world(tmp_path, encryption_only("scatter"))
    world.brought["teacher-1"] = trained(_Fails())
    run = world.local_run()
    outcome = run.execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    for data in outcome.envelopes:
        assert not re.search(b"patient|ValueError|no such record", data)
    (released,) = world.released
    assert released.members == ("teacher-2", "teacher-3", "teacher-4")  # the rest had its result
    (line,) = (tmp_path / "teacher-1" / "local-log.jsonl").read_bytes().splitlines()
    assert canonical.decode(line)["not_asked_after"] == "ValueError"
    ledger = run.sites["teacher-1"].ledger
    assert ledger is not None
    assert len(ledger.books().charges) == 1
    assert "burn" in [note["kind"] for note in ledger.books().notes]
