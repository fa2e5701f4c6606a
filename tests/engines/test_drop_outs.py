"""Parties that fall silent at every stage, and budgets that run out."""

from __future__ import annotations

from pathlib import Path

import pytest

from secure_fedsa.engines.ledger_notes import kept_agreements
from secure_fedsa.errors import BudgetError, LedgerError, RunAborted, StorageError
from secure_fedsa.messages import Abort, Roster
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.roles import effects as fx
from secure_fedsa.wire.envelope import Header
from tests.engines.network import Network, body_of, ledger_kinds, muted, opened_sums
from tests.support import World, make_world

PLAIN = {"he": False, "masks": False}
TEACHERS = ("teacher-1", "teacher-2", "teacher-3", "teacher-4")
OPENED = ["reserve", "commit", "roster-opened", "erasure"]
BURNED = ["reserve", "commit", "burn", "erasure"]


@pytest.fixture
def plain(tmp_path: Path) -> World:
    """The arm without encryption: drop-outs are the same, and runs are faster."""
    return make_world(tmp_path, protection=PLAIN)


@pytest.mark.parametrize(
    ("who", "kinds"),
    [
        ("teacher-2", ("nonce",)),
        ("student", ("query-key", "query")),
        ("aggregator", ("keys",)),
        ("teacher-2", ("ready",)),
    ],
)
def test_silence_before_readiness_charges_nobody_and_names_who(
    plain: World, who: str, kinds: tuple[str, ...]
) -> None:
    """Otherwise a party could spend everybody's privacy by promising and then not coming."""
    run = plain.local_run()
    outcome = Network(run, muted(who, *kinds, "abort")).execute()
    assert who in outcome.problem
    assert "Nothing was charged" in outcome.problem
    assert run.charged(outcome.run_id) == ()
    assert all(site.ledger.books().charges == {} for site in run.sites.values() if site.ledger)


def test_no_teacher_is_charged_while_the_key_holder_awaits_a_single_ready(plain: World) -> None:
    """A ready that reaches the teachers but not the key holder must not cost them anything."""
    run = plain.local_run()
    outcome = Network(run, muted("teacher-2", "ready", towards="key-holder")).execute()
    assert "Awaited: teacher-2." in outcome.problem
    assert all(site.ledger.books().charges == {} for site in run.sites.values() if site.ledger)


def test_teacher_silent_after_its_charge_is_left_out_and_the_rest_is_opened(plain: World) -> None:
    """One lost hospital must not cost the others their charge for nothing."""
    run = plain.local_run()
    outcome = Network(run, muted("teacher-3", "reply", "blind", "ledger")).execute()
    assert outcome.problem == ""
    assert plain.released[0].members == ("teacher-1", "teacher-2", "teacher-4")
    for name in TEACHERS:
        expected = [kind for kind in OPENED if name != "teacher-3" or kind != "roster-opened"]
        assert ledger_kinds(run, name, outcome.run_id) == expected


@pytest.mark.slow
def test_teacher_that_does_not_sign_is_left_out_by_a_new_roster(tmp_path: Path) -> None:
    """With masks on: the new roster must get masks of its own that cancel."""
    world = make_world(tmp_path)
    run = world.local_run()
    outcome = Network(run, muted("teacher-1", "roster-signature", "mask-share")).execute()
    assert outcome.problem == ""
    rosters = [body_of(d) for d in outcome.envelopes if b'"kind":"roster"' in d]
    assert [(r.number, len(r.members)) for r in rosters] == [(1, 4), (2, 3)]
    assert world.released[0].members == ("teacher-2", "teacher-3", "teacher-4")


@pytest.mark.slow
def test_mask_values_that_overtake_their_roster_are_kept(tmp_path: Path) -> None:
    """Otherwise one slow link makes everybody else's uploads worthless."""
    world = make_world(tmp_path)
    run = world.local_run()
    held: list[bytes] = []

    def late_roster(header: Header, recipient: str, data: bytes) -> list[bytes]:
        if header.sender == "teacher-1" and header.kind in ("roster-signature", "mask-share"):
            return []
        if recipient != "teacher-2":
            return [data]
        if header.kind == "roster" and body_of(data).number == 2:
            held.append(data)
            return []
        # The second roster comes behind everything that answers to it.
        if held and header.kind == "roster-signature" and header.sender == "teacher-4":
            return [data, held.pop()]
        return [data]

    outcome = Network(run, late_roster).execute()
    assert outcome.problem == ""
    assert world.released[0].members == ("teacher-2", "teacher-3", "teacher-4")


@pytest.mark.slow
def test_silence_after_uploads_releases_nothing_and_burns_each_charge_once(tmp_path: Path) -> None:
    """Masks of a missing member do not cancel: the sum of the others must stay closed."""
    world = make_world(tmp_path)
    run = world.local_run()
    outcome = Network(run, muted("teacher-4", "upload")).execute()
    assert "dropped out" in outcome.problem
    assert "Awaited: teacher-4." in outcome.problem
    assert world.released == []
    assert opened_sums(run) == []
    for name in TEACHERS:
        assert ledger_kinds(run, name, outcome.run_id) == BURNED


def test_too_few_left_ends_in_words_that_say_what_was_spent(plain: World) -> None:
    """An operator must know what is lost and why."""
    run = plain.local_run()

    def silent_pair(header: Header, _recipient: str, data: bytes) -> list[bytes]:
        lost = header.sender in ("teacher-1", "teacher-2") and header.kind in ("reply", "blind")
        return [] if lost else [data]

    outcome = Network(run, silent_pair).execute()
    assert "2 teachers are left" in outcome.problem
    assert "a sum needs 3" in outcome.problem
    assert "charge of this run stays spent" in outcome.problem
    assert set(run.charged(outcome.run_id)) == set(TEACHERS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reply", "upload"])
def test_runs_that_buy_nothing_stop_after_max_burned(plain: World, kind: str) -> None:
    """Whoever stops run after run, before or after uploads, could empty all budgets."""
    plain.changes["limits"] = {"max_burned": 2}
    for _ in range(2):
        run = plain.local_run()
        lose = muted("teacher-1", kind) if kind == "upload" else _all_muted(kind)
        assert Network(run, lose).execute().problem
        run.discard()
    run = plain.local_run()
    with pytest.raises(RunAborted, match=r"lost 2 charges.*sign a new agreement") as error:
        run.execute()
    assert "Nothing was charged" in str(error.value)
    ledger = run.sites["teacher-2"].ledger
    assert ledger is not None
    assert len(ledger.books().charges) == 2


def _all_muted(kind: str):  # type: ignore[no-untyped-def]
    return lambda header, _recipient, data: [] if header.kind == kind else [data]


@pytest.mark.slow
def test_second_run_over_the_same_data_is_a_second_charge(plain: World) -> None:
    """Two runs tell more than one: their losses compose."""
    for _ in range(2):
        run = plain.local_run()
        run.execute()
        run.discard()
    ledger = run.sites["teacher-1"].ledger
    assert ledger is not None
    charges = list(ledger.books().charges.values())
    assert len(charges) == 2
    assert charges[1].agreement_total.rho == pytest.approx(2 * charges[0].cost.rho)
    assert ledger.spent().epsilon > plain.agreement().promise.epsilon


@pytest.mark.slow
def test_exhausted_budget_refuses_before_any_charge_and_says_what_is_left(plain: World) -> None:
    """A budget that is passed once is not a budget."""
    plain.changes["privacy"] = {"agreement_budget": 5.0, "data_set_budget": 5.0}
    first = plain.local_run()
    first.execute()
    first.discard()
    run = plain.local_run()
    with pytest.raises(RunAborted, match=r"Left: epsilon .*Nothing was charged") as refused:
        run.execute()
    told = str(refused.value)
    assert told.count("Nothing was charged") == 1
    assert "would also pass this data set (privacy.data_set_budget), 5 at delta 1e-05" in told
    assert "budgets of" not in told  # both were promised: no agreement raises them
    assert "begins with nothing spent of its own agreement_budget" in told
    assert all(len(s.ledger.books().charges) == 1 for s in run.sites.values() if s.ledger)


def test_a_later_agreement_cannot_pass_what_an_earlier_one_promised(plain: World) -> None:
    """If this fails, "whatever the agreement" in a data set's budget is a lie."""
    plain.changes["privacy"] = {"agreement_budget": 5.0, "data_set_budget": 5.0}
    first = plain.local_run()
    first.execute()
    first.discard()
    plain.changes["privacy"] = {"agreement_budget": 50.0, "data_set_budget": 50.0}
    words = "this data set, by an earlier agreement, to epsilon"
    with pytest.raises(RunAborted, match=words) as refused:
        plain.local_run().execute()
    assert str(refused.value).count("Nothing was charged") == 1
    assert "A new agreement" not in str(refused.value)  # it would not help
    assert all(len(s.ledger.books().charges) == 1 for s in first.sites.values() if s.ledger)


def test_an_agreement_is_kept_before_its_first_charge(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a crash after the charge makes a later run forget what was promised."""

    def crash(*_: object, **__: object) -> object:
        raise BudgetError("Here.")

    monkeypatch.setattr(Ledger, "reserve", crash)
    run = plain.local_run()
    with pytest.raises(RunAborted):
        run.execute()
    for name in run.agreement.teachers:
        assert kept_agreements(plain.folder / name).keys() == {run.hash}


def test_a_teacher_that_cannot_keep_the_agreement_charges_nothing(plain: World) -> None:
    """If this fails, a full disk lets a later agreement pass this one's budget."""
    run = plain.local_run()
    for name in run.agreement.teachers:
        (plain.folder / name / "agreements").write_text("in the way")
    with pytest.raises(StorageError):
        run.execute()
    assert all(not s.ledger.books().charges for s in run.sites.values() if s.ledger)


def test_a_data_set_is_charged_for_one_unit_and_relation(plain: World) -> None:
    """If this fails, losses of records are added to those of persons, and no budget is kept."""
    first = plain.local_run()
    first.execute()
    first.discard()
    plain.changes["privacy"] = {"neighbours": "replace-one"}
    with pytest.raises(RunAborted, match=r"charged before for add-remove.*Nothing was charged"):
        plain.local_run().execute()
    assert all(len(s.ledger.books().charges) == 1 for s in first.sites.values() if s.ledger)


def test_budget_lost_between_check_and_charge_ends_the_run_in_order(plain: World) -> None:
    """Another run may spend the rest meanwhile: that teacher is left out, secrets erased."""
    run = plain.local_run()
    site = run.sites["teacher-2"]
    original = site.persist

    def persist(record: fx.Record, run_id: str) -> object:
        if isinstance(record, fx.ReserveCharge):
            raise BudgetError("past its budget.")
        return original(record, run_id)

    site.persist = persist  # type: ignore[method-assign]
    read: list[str] = []

    def watch(party: str, effect: fx.Effect) -> None:
        if isinstance(effect, fx.ReadPrivate):
            read.append(party)

    network = Network(run, watch=watch)
    network.execute()
    assert sorted(read) == ["teacher-1", "teacher-3", "teacher-4"]
    assert network.problems["teacher-2"] == "past its budget."
    assert plain.released[0].members == ("teacher-1", "teacher-3", "teacher-4")
    assert network.erased == set(run.agreement.parties)


def test_an_abort_of_one_teacher_after_readiness_is_only_its_silence(plain: World) -> None:
    """Otherwise any teacher, chosen or not, could burn everybody's charge with one message."""
    run = plain.local_run()
    sent: set[str] = set()

    def give_up(header: Header, recipient: str, data: bytes) -> list[bytes]:
        if header.sender != "teacher-4" or header.kind != "ledger":
            lost = header.sender == "teacher-4" and header.kind in ("reply", "blind")
            return [] if lost else [data]
        sent.add(recipient)
        return [network.forge("teacher-4", Abort("x", "I \x1b[31mstop", ()), "*", 90)]

    network = Network(run, give_up)
    outcome = network.execute()
    assert sent
    assert plain.released[0].members == ("teacher-1", "teacher-2", "teacher-3")
    assert outcome.problem == ""


def test_a_silent_student_does_not_keep_secrets_alive(plain: World) -> None:
    """After the release everybody must still erase, and the charge is not counted as burned."""
    run = plain.local_run()
    network = Network(run, muted("student", "result"))
    outcome = network.execute()
    assert "the student is silent" in outcome.problem
    assert network.erased == set(run.agreement.parties)
    assert ledger_kinds(run, "teacher-1", outcome.run_id) == OPENED


def test_a_journal_set_back_cannot_draw_a_second_noise(plain: World) -> None:
    """A restored copy of the state folder would give two noisy summaries for one charge."""
    run = plain.local_run()
    outcome = run.execute()
    with pytest.raises(LedgerError, match="journal was set back"):
        run.sites["teacher-1"].persist(fx.ReserveCharge(), outcome.run_id)


def test_roster_in_force_is_the_last_one(plain: World) -> None:
    """The report must name who is in the sum, not who was asked first."""
    outcome = Network(plain.local_run(), muted("teacher-1", "roster-signature")).execute()
    rosters = [body_of(d) for d in outcome.envelopes if b'"kind":"roster"' in d]
    assert all(isinstance(roster, Roster) for roster in rosters)
    assert rosters[-1].members == plain.released[0].members
