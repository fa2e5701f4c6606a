"""The student's labelled records: charged once, drawn once, and nothing else of them leaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secure_fedsa.agreement import Agreement, Retention
from secure_fedsa.engines import student_labels
from secure_fedsa.engines.ledger_notes import keep_agreement, kept_agreements
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.student import HEAD_FILE, NETWORK_FILE, StudentTask, StudentWorkshop
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.entropy import SeededNoise, SystemNoise
from secure_fedsa.errors import AgreementError, BudgetError, LedgerError, RunAborted
from secure_fedsa.messages import STUDENT
from secure_fedsa.models.private_labels import LabelSummary
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.report.ledger_reading import ledger_view
from secure_fedsa.roles.private_student import label_plan, read_labels, student_terms
from secure_fedsa.signals import Noise, ReleasedSum, int_array
from secure_fedsa.wire.agreement_signatures import agreement_hash
from tests.support import (
    CLASSES,
    STUDENT_PROMISE,
    World,
    asked_by_probes,
    encoder,
    make_world,
    probes,
    table,
)

OPEN = {"he": False, "masks": False}  # faster, and the student's part is the same
Records = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class Crash(Exception):
    """The power is gone."""


def protected(folder: Path, **changes: Any) -> World:
    """Return a world whose student's labelled records are protected."""
    promise = replace(STUDENT_PROMISE, **changes)
    world = make_world(folder, 3, student_privacy=promise, protection=dict(OPEN))
    world.public = asked_by_probes()
    return world


def labelled() -> Records:
    """Return the student's labelled records."""
    return table(3001, 40)


def workshop(world: World, agreement: Agreement, records: Records | None = None) -> StudentWorkshop:
    """Return the student's workshop under an agreement."""
    task = StudentTask(CLASSES, *(records or labelled()), probes())
    folder = world.folder / STUDENT
    labels = StudentLabels(folder, agreement)
    return StudentWorkshop(task, encoder(), folder / "built", seed=0, labels=labels)


def run(world: World, records: Records | None = None) -> tuple[LocalRun, StudentWorkshop]:
    """Run to the end."""
    agreement = world.agreement()
    shop = workshop(world, agreement, records)
    made = world.local_run(lambda released: shop.build(released, agreement))
    made.execute()
    made.discard()
    return made, shop


def ledger(world: World) -> Ledger:
    """Return the student's ledger."""
    return Ledger.open(world.folder / STUDENT)


def ask(labels: StudentLabels, records: Records | None = None) -> LabelSummary:
    """Ask for the agreement's summary, along two directions."""
    centre = np.zeros(encoder().dimension)
    directions = np.eye(encoder().dimension)[:, :2]
    return labels.summary(
        *(records or labelled()), encoder=encoder(), centre=centre, directions=directions
    )


class _Order:
    """Writes down what happens in which order, and cuts the power before a step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, crash_at: str = "") -> None:
        self.seen: list[str] = []
        self.crash_at = crash_at
        self._wrap(monkeypatch, Ledger, "reserve", "charge")
        self._wrap(monkeypatch, student_labels, "draw_noise", "noise")
        self._wrap(monkeypatch, student_labels, "read_labels", "read")
        self._wrap(monkeypatch, StudentLabels, "_store", "store")
        self._wrap(monkeypatch, Ledger, "commit", "commit")

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, home: Any, name: str, step: str) -> None:
        original = getattr(home, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            if step == self.crash_at:
                self.crash_at = ""
                raise Crash(step)
            done = original(*arguments, **named)
            self.seen.append(step)
            return done

        monkeypatch.setattr(home, name, watched)


def test_charge_before_noise_before_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that was read before its charge is durable is read for nothing."""
    world = protected(tmp_path)
    order = _Order(monkeypatch)
    run(world)
    student = [step for step in order.seen if step in {"noise", "read", "store"}]
    assert student == ["noise", "read", "store"]
    start = order.seen.index("noise")
    assert order.seen[start - 1 : start + 4] == ["charge", "noise", "read", "store", "commit"]


@pytest.mark.parametrize("step", ["charge", "noise", "read", "store", "commit"])
def test_a_crash_anywhere_charges_once_and_draws_once_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Two noises of one stored charge would show their mean, and two charges waste the budget."""
    agreement = protected(tmp_path).agreement()
    labels = StudentLabels(tmp_path / STUDENT, agreement)
    order = _Order(monkeypatch, step)
    with pytest.raises(Crash):
        ask(labels)
    made = ask(StudentLabels(tmp_path / STUDENT, agreement))
    assert order.seen.count("store") == 1
    assert order.seen.count("noise") == (2 if step in {"read", "store"} else 1)
    books = Ledger.open(tmp_path / STUDENT).books()
    (charge,) = books.charges.values()
    assert charge.committed
    assert ask(labels).to_bytes() == made.to_bytes()
    assert order.seen.count("read") == order.seen.count("noise") - (step == "read")


def test_a_second_run_is_free_and_another_agreement_is_not(tmp_path: Path) -> None:
    """Else runs over one agreement would empty the budget, or agreements would be free."""
    world = protected(tmp_path)
    run(world)
    first = ledger(world).spent()
    head = ledger(world).head()
    run(world)
    assert ledger(world).head() == head
    assert first.epsilon == pytest.approx(STUDENT_PROMISE.epsilon, rel=1e-3)
    again = protected(tmp_path)
    again.changes["title"] = "Another one"
    run(again)
    assert len(ledger(again).books().charges) == 2
    assert ledger(again).spent().rho == pytest.approx(2 * first.rho)


def test_a_budget_that_would_be_passed_stops_the_run_before_any_charge(tmp_path: Path) -> None:
    """Teachers would lose privacy to a run whose student may not be built."""
    run(protected(tmp_path, budget=2.5))
    world = protected(tmp_path, budget=2.5)
    world.changes["title"] = "Another one"
    with pytest.raises(RunAborted, match=r"privacy loss|budget") as refused:
        run(world)
    told = str(refused.value)
    assert told.count("Nothing was charged") == 1
    assert "would also pass the student's labelled records, by an earlier agreement, 2.5" in told
    assert "a budget of" not in told  # nobody can raise the earlier one
    assert str(tmp_path) not in told
    with pytest.raises(BudgetError):
        ask(StudentLabels(tmp_path / STUDENT, world.agreement()))
    assert len(ledger(world).books().charges) == 1


def test_a_later_agreement_cannot_break_an_earlier_ones_budget(tmp_path: Path) -> None:
    """The first one's report says how far all uses may go: a larger budget later breaks it."""
    run(protected(tmp_path, budget=2.5))
    world = protected(tmp_path, budget=100.0)
    world.changes["title"] = "Another one"
    with pytest.raises(RunAborted, match="by an earlier agreement") as refused:
        run(world)
    assert "Nothing was charged" in str(refused.value)
    labels = StudentLabels(tmp_path / STUDENT, world.agreement())
    with pytest.raises(BudgetError, match="by an earlier agreement"):
        labels.check()  # before the teachers are charged
    with pytest.raises(BudgetError, match="by an earlier agreement"):
        ask(StudentLabels(tmp_path / STUDENT, world.agreement()))
    assert len(ledger(world).books().charges) == 1


def test_the_students_records_are_charged_for_one_relation(tmp_path: Path) -> None:
    """If this fails, a promise for replaced records is passed by a charge for removed ones."""
    state = tmp_path / STUDENT
    world = protected(tmp_path)
    agreed = world.agreement()
    labels = StudentLabels(state, agreed)
    labels.check()
    keep_agreement(state, agreed, agreement_hash(agreed))
    terms, event = student_terms(agreed), label_plan(agreed).event
    digest = agreement_hash(agreed)
    ledger(world).reserve(f"student-{digest}", digest, [event], terms, terms.budget)
    world.changes["privacy"] = {"neighbours": "replace-one"}
    other = StudentLabels(state, world.agreement())
    with pytest.raises(AgreementError, match=r"these data were charged before for add-remove"):
        other.check()


def test_two_agreements_at_once_do_not_pass_a_budget_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would see that there is room, and both would read the records."""
    first, second = protected(tmp_path, budget=2.5), protected(tmp_path, budget=100.0)
    second.changes["title"] = "Another one"
    labels = StudentLabels(tmp_path / STUDENT, second.agreement())
    reserve = Ledger.reserve

    def late(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(Ledger, "reserve", reserve)
        ask(StudentLabels(tmp_path / STUDENT, first.agreement()))
        return reserve(*arguments, **named)

    monkeypatch.setattr(Ledger, "reserve", late)
    with pytest.raises(BudgetError, match="by an earlier agreement"):
        ask(labels)
    assert len(list((tmp_path / STUDENT).glob("labels-*.safetensors"))) == 1


def test_a_use_without_the_promise_is_refused_after_one_with_it(tmp_path: Path) -> None:
    """A budget that another agreement may ignore bounds nothing."""
    run(protected(tmp_path))
    world = make_world(tmp_path, 3, protection=dict(OPEN))
    with pytest.raises(RunAborted, match="without differential privacy"):
        world.local_run().execute()


def test_no_label_reaches_what_leaves_but_through_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the same noisy summary, other records and labels must give the same bytes."""
    world = protected(tmp_path)
    made, shop = run(world)
    (released,) = [ReleasedSum(*_sum(made, shop))]
    # Another number, one class only, and other types of number: they too may be of one record.
    others: Records = (table(77, 11)[0].astype(np.float64), np.array([0.0] * 10 + [np.nan]))
    different = workshop(world, made.agreement, others)
    different.folder = tmp_path / "different"

    def read(*_: Any, **__: Any) -> None:
        pytest.fail("The records were read again.")

    monkeypatch.setattr(student_labels, "read_labels", read)
    agreement = made.agreement
    assert np.array_equal(shop.question(agreement), different.question(agreement))
    assert shop.build(released, agreement) == different.build(released, agreement)
    for name in (HEAD_FILE, NETWORK_FILE):
        assert (shop.folder / name).read_bytes() == (different.folder / name).read_bytes()


def _sum(made: LocalRun, shop: StudentWorkshop) -> tuple[Any, tuple[str, ...]]:
    """Return some sum over the teachers, as one is released."""
    size, members = made.agreement.feature_values, made.agreement.teachers
    wide = shop.encoder.dimension
    values = np.zeros(size, dtype=np.int64)
    values[np.cumsum([0, *range(wide, 1, -1)])] = np.arange(wide, 0, -1) * 10_000  # the diagonal
    values[-1] = 800
    return values, members


def _spoilt(records: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.where(np.arange(len(records))[:, None] == 3, np.nan, records)


def _build(shop: StudentWorkshop, agreement: Agreement, released: ReleasedSum) -> str:
    return shop.build(released, agreement)


Change = Callable[[Records], Records]
NEIGHBOURS: dict[str, Change] = {
    "one record less": lambda d: (d[0][1:], d[1][1:]),
    "a record that is no number": lambda d: (_spoilt(d[0]), d[1]),
    "a label of no class": lambda d: (d[0], np.where(np.arange(40) == 3, 17, d[1])),
    "a class without records": lambda d: (d[0][d[1] > 0], d[1][d[1] > 0]),
    "no record at all": lambda d: (d[0][:0], d[1][:0]),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbouring_records_give_the_same_visible_behaviour(name: str, tmp_path: Path) -> None:
    """Whether the run goes on, what is sent and charged may not depend on one record."""
    shown = []
    for number, records in enumerate((labelled(), NEIGHBOURS[name](labelled()))):
        world = protected(tmp_path / str(number))
        agreement = world.agreement()
        shop = workshop(world, agreement, (records[0].astype(np.float32), records[1]))
        made = world.local_run(partial(_build, shop, agreement))
        outcome = made.execute()
        (charge,) = ledger(world).books().charges.values()
        files = {path.name: len(path.read_bytes()) for path in sorted(shop.folder.iterdir())}
        files.pop("architecture.json")
        kinds = sorted((len(e), b'"kind":"result"' in e) for e in outcome.envelopes)
        shown.append((charge.events, charge.committed, files, len(kinds), outcome.problem))
        assert np.array_equal(shop.question(agreement), asked_by_probes().query)
    assert shown[0] == shown[1]


def test_a_summary_that_is_gone_is_never_drawn_again(tmp_path: Path) -> None:
    """Who deletes the file would get a second noise for the first charge."""
    agreement = protected(tmp_path).agreement()
    labels = StudentLabels(tmp_path / STUDENT, agreement)
    ask(labels)
    (stored,) = (tmp_path / STUDENT).glob("labels-*.safetensors")
    assert stored.stat().st_mode & 0o077 == 0
    data = stored.read_bytes()
    stored.unlink()
    with pytest.raises(LedgerError, match="is gone"):
        ask(labels)
    stored.write_bytes(data)
    for path in (tmp_path / STUDENT).glob("ledger*"):
        path.unlink()
    with pytest.raises(LedgerError, match="without its charge"):
        ask(labels)


def test_seeded_noise_needs_an_agreed_simulation(tmp_path: Path) -> None:
    """Anybody who knows the seed can subtract the noise."""

    class Seeded(SystemNoise):
        seeded = True

    agreement = protected(tmp_path).agreement()
    with pytest.raises(AgreementError, match="seed"):
        StudentLabels(tmp_path / STUDENT, agreement, noise=Seeded())


def test_what_is_stored_has_the_planned_noise_on_every_value(tmp_path: Path) -> None:
    """If this fails, the student's records leave with less noise than was charged, or none."""
    agreement = replace(protected(tmp_path).agreement(), simulation=True)
    plan = label_plan(agreement)
    made = ask(StudentLabels(tmp_path / STUDENT, agreement, noise=SeededNoise(9))).noisy
    drawn = draw_noise(SeededNoise(9), plan.shape, plan.event.noise_scale)
    silent = Noise(int_array([0] * plan.shape.noise_values), seeded=True)
    exact = read_labels(
        *labelled(),
        encoder=encoder(),
        agreement=agreement,
        centre=np.zeros(encoder().dimension),
        directions=np.eye(encoder().dimension)[:, :2],
        noise=silent,
    )[0].noisy
    added = [made.sums - exact.sums, made.counts - exact.counts]
    assert np.array_equal(np.concatenate([part.ravel() for part in added]), drawn.values)
    assert np.count_nonzero(drawn.values) > 0.9 * len(drawn.values)


def test_a_workshop_of_another_agreement_is_refused(tmp_path: Path) -> None:
    """Without the ledger of this agreement the records would be used as if nothing were agreed."""
    world = protected(tmp_path)
    agreement = world.agreement()
    task = StudentTask(CLASSES, *labelled(), probes())
    bare = StudentWorkshop(task, encoder(), tmp_path / "built", seed=0)
    with pytest.raises(AgreementError, match="workshop"):
        bare.question(agreement)
    shop = workshop(world, agreement)
    with pytest.raises(AgreementError, match="workshop"):
        shop.question(replace(agreement, student_privacy=None))
    two = StudentTask(CLASSES[:2], *labelled(), probes())
    with pytest.raises(AgreementError, match=r"student_privacy\.classes"):
        StudentWorkshop(two, encoder(), tmp_path, seed=0, labels=shop.labels)


def test_notes_about_records_stay_with_the_operator(tmp_path: Path) -> None:
    """How many records could not be used is the student's own business."""
    agreement = protected(tmp_path).agreement()
    records, labels = labelled()
    ask(StudentLabels(tmp_path / STUDENT, agreement), (records, np.full_like(labels, 9)))
    log = (tmp_path / STUDENT / "local-log.jsonl").read_text("utf-8")
    assert '"zeroed":40' in log
    assert '"day"' not in log


def test_a_note_has_its_date_where_its_age_is_limited(tmp_path: Path) -> None:
    """Without one nobody could tell when it has to go."""
    agreement = replace(protected(tmp_path).agreement(), retention=Retention(30, 7))
    ask(StudentLabels(tmp_path / STUDENT, agreement), labelled())
    log = (tmp_path / STUDENT / "local-log.jsonl").read_text("utf-8")
    assert re.search(r'"day":"20\d\d-\d\d-\d\d","records":40', log)


def test_the_students_ledger_is_shown_as_the_students(tmp_path: Path) -> None:
    """If this fails, an officer measures the student's loss against the teachers' budget."""
    world = protected(tmp_path)
    run(world)
    books = ledger(world).books()
    view = ledger_view(books, days={}, agreements=kept_agreements(tmp_path / STUDENT))
    assert (view.budget, view.budget_from) == (STUDENT_PROMISE.budget, "student_privacy.budget")
    bounded = {one.id: one.bounded for one in view.seen}
    assert [name for name, holds in bounded.items() if not holds] == [STUDENT, "coalitions.forger"]
    assert "student adds all of the noise" in view.claim.why
    (row,) = view.to_json()["by_run"]
    assert row["erasure_noted"] is None
    assert row["day"] is None
    assert view.to_json()["by_agreement"][0]["unit"] == "record (add-remove)"
