"""The report is what a privacy officer reads: it must load nothing, escape and warn."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from secure_fedsa.agreement import Publish
from secure_fedsa.messages import AGGREGATOR, CUSTODIANS, EVERYONE, KEY_HOLDER, RULES, Role
from secure_fedsa.report import claims, wording
from secure_fedsa.report.html import report_html
from secure_fedsa.report.markup import number, readable
from secure_fedsa.report.model_card import model_card
from secure_fedsa.report.steps import Local, Message, in_words, steps
from secure_fedsa.report.summary import RunFacts
from tests.report import runs

SHUT = Publish("none", ciphertexts=False, sums=False, feature_key=False)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=y>'


class Page(HTMLParser):
    """Refuses a page whose elements do not nest; keeps what a reader may want to ask."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(made: RunFacts) -> Page:
    return Page(report_html(*runs.both(made)))


def quiet(**changes: Any) -> RunFacts:
    """Return a run that is no demo and publishes no scores."""
    made = runs.facts(demo=False, **changes)
    publish = replace(made.agreement.publish, scores="none")
    return replace(
        made,
        agreement=replace(made.agreement, publish=publish),
        roster=replace(made.roster, scores={}),
    )


@pytest.mark.parametrize(
    "made",
    [
        runs.facts(),
        runs.facts(he=False),
        runs.facts(simulated_noise=True),
        quiet(accuracy={}, bytes_by_kind={}, seconds={}),
        runs.facts(custody="aggregator", publish=SHUT),
        runs.facts(he=False, custody="aggregator", publish=SHUT),
    ],
    ids=["on", "off", "simulated", "bare", "shut", "shut-off"],
)
def test_is_well_formed_and_needs_nothing_from_elsewhere(made: RunFacts) -> None:
    """A reader offline would see half a page; an online one would tell a stranger of it."""
    text = report_html(*runs.both(made))
    parsed = Page(text)
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "base", "form", "a", "image"}
    for _, attributes in parsed.tags:
        assert not {"src", "href", "xlink:href", "srcset", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"https?://|url\(|@import", text)
    policy = [m["content"] for m in parsed.named("meta") if "http-equiv" in m]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


@pytest.mark.parametrize("field", ["task", "title"])
def test_names_from_files_cannot_act(field: str) -> None:
    """A teacher's label could otherwise run a script in the auditor's browser."""
    names: dict[str, Any] = {"task": (HOSTILE, "b\u202ee\ud800"), "title": HOSTILE}
    made = runs.facts(**{field: names[field]})
    text = report_html(*runs.both(made))
    parsed = Page(text)
    assert "<script" not in text
    assert "<img" not in text
    assert not {"script", "img"} & {tag for tag, _ in parsed.tags}
    assert HOSTILE in parsed.text
    text.encode()


def test_warns_in_red_when_encryption_is_off() -> None:
    """Somebody could take an open run for a protected one."""
    parsed = page(runs.facts(he=False))
    alarms = [d for d in parsed.named("div") if d.get("role") == "alert"]
    assert [alarm["class"] for alarm in alarms] == ["banner alarm"]
    assert "ENCRYPTION AND MASKS ARE OFF:" in parsed.text
    assert "NOT ENCRYPTED" in parsed.text
    assert "Encryption and masks are on" not in parsed.text


def test_warns_in_red_and_claims_no_epsilon_when_noise_is_simulated() -> None:
    """A test's report could be shown as proof of privacy."""
    parsed = page(runs.facts(simulated_noise=True))
    assert "SIMULATED NOISE: Protects nobody." in parsed.text
    assert "is differentially private with" not in parsed.text
    assert "No differential privacy claim holds" in parsed.text
    assert [d["class"] for d in parsed.named("div") if d.get("role") == "alert"] == ["banner alarm"]


def test_is_calm_about_a_protected_run() -> None:
    """A red page that means nothing teaches people to ignore red pages."""
    parsed = page(runs.facts())
    assert not [d for d in parsed.named("div") if d.get("role") == "alert"]
    assert "ARE OFF" not in parsed.text
    assert "SIMULATED" not in parsed.text
    assert wording.encryption_on(runs.agreement()) in parsed.text


def test_keeps_back_what_the_agreement_keeps_back() -> None:
    """The page would otherwise publish scores and kinds that nobody agreed to publish."""
    made = quiet()
    leaky = replace(made, roster=replace(made.roster, scores={"teacher-1": 0.98765}))
    parsed = page(leaky)
    assert "0.988" not in parsed.text
    assert "not published" in parsed.text
    assert "shuffled-labels" not in parsed.text
    assert "Kind (demo)" not in parsed.text


def test_shows_scores_threshold_and_kinds_of_the_demo() -> None:
    """A reader could not see why a teacher was left out."""
    parsed = page(runs.facts())
    assert all(f"{score:.3f}" in parsed.text for score in runs.SCORES)
    assert "Score, line at 0.25" in parsed.text
    assert "shuffled-labels" in parsed.text
    assert "above, not among the best" in parsed.text


def test_shows_every_baseline_and_says_where_there_is_no_test() -> None:
    """An accuracy without its baselines says nothing about the teachers' worth."""
    parsed = page(runs.facts())
    for value in runs.ACCURACY.values():
        assert f"{value:.3f}" in parsed.text
    bare = page(runs.facts(accuracy=dict.fromkeys(runs.ACCURACY)))
    assert bare.text.count("no test data") > len(runs.ACCURACY)


def test_says_what_is_covered_and_what_is_not() -> None:
    """A reader would take epsilon for more than it is."""
    parsed = page(runs.facts())
    for words in (
        "adding or removing one record",
        "every coalition of all the other parties",
        "The student's own labelled records are NOT protected",
        "Facts about an institution as a whole",
        "across runs only the composition of differential privacy is claimed",
        "That the selected teachers had the best scores is attested",
        "That it drew this noise is the teacher's word",
        "All accuracies are attested by aggregator",
        'the most that it says is "consistent, identities not checked"',
    ):
        assert words in parsed.text


def test_names_whose_word_each_attested_claim_is_and_never_calls_it_verified() -> None:
    """An auditor would take somebody's word for something that was worked out."""
    made = runs.facts()
    parsed = page(made)
    whole = re.sub(r"\s+", " ", parsed.text)
    for claim in claims.recomputed(made.agreement):
        assert claims.WORDS[claim] in whole
    for entry in claims.attested(made.agreement, made.roster.members, made.charged):
        named = f"{claims.WORDS[entry['claim']]} attested by {', '.join(entry['by'])}"
        assert named in re.sub(r"(?<=[.])(?=attested)", " ", whole)
    assert not re.search(r"\bverified\b", whole, re.IGNORECASE)


@pytest.mark.parametrize("he", [True, False])
def test_custody_and_what_is_withheld_are_said_in_words(he: bool) -> None:
    """A reader would think that the key holder opened what the student's side opened."""
    made = runs.facts(he=he, custody="aggregator", publish=SHUT)
    parsed = page(made)
    for words in wording.withheld(made.agreement):
        assert words in parsed.text
    assert "the key holder opened" not in parsed.text
    assert "the sum, for all to read" not in parsed.text
    assert "which is public in this run" not in parsed.text
    assert "signed, for all to read" in parsed.text  # other messages still are
    assert "No other sum of this run was opened.attested by aggregator" in parsed.text
    assert claims.WORDS["homomorphic-sum"] + "attested by aggregator, key-holder" in parsed.text
    assert ("which also holds the feature key" in parsed.text) == he


@pytest.mark.parametrize("custody", ["key-holder", "aggregator"])
def test_what_the_folder_does_not_show_is_somebodys_word(custody: Role) -> None:
    """The page would vouch for what its writer cannot know, and a forger's page likewise."""
    made = runs.facts(custody=custody, publish=SHUT)
    for text in (page(made).text, model_card(*runs.both(made))):
        words = re.sub(r"\s+", " ", text)
        for fact in (
            "it goes to the student, sealed. The folder does not show who else saw it.",
            f"That it was erased at the end is attested by {custody}; the folder does not show who",
            "That the sum is theirs is attested by aggregator and key-holder",
            f"That no other sum was opened is attested by {custody}",
            "that a teacher masked its signal before it encrypted it, the folder does not show",
            "by the scores of their noisy saliency as the signers attest",
            "The student was built from the released sum as agreed.",
        ):
            assert fact in words, fact
        assert not re.search("nobody can|no message showed|opened one sum|it went to", words)


def test_whose_signature_carries_a_claim_is_said() -> None:
    """Neither the student nor a teacher outside the sum signs the receipt that names them."""
    made = runs.facts()
    members = made.roster.members
    outside = [name for name in made.charged if name not in members]
    for text in (page(made).text, model_card(*runs.both(made)).replace("\\", "")):
        assert "attested by student (student: by signed messages, not under the receipt)" in text
        assert f"({', '.join(outside)}: by signed messages, not under the receipt)" in text
        assert f"attested by {', '.join(['aggregator', 'key-holder', *members])} (" not in text


def test_figures_in_neither_list_of_the_receipt_are_said_to_be() -> None:
    """An epsilon of another accountant would pass for one that somebody stands for."""
    text = page(runs.facts()).text
    said = text.split("Accounting, checked against other accountants")[1]
    assert "its claim on accounting is about epsilon, rho and delta alone" in said
    assert "they stand in neither of the receipt's lists" in said


def test_ranks_are_shown_where_only_their_order_is_published() -> None:
    """A reader could not see why a teacher was left out, or would see more than agreed."""
    publish = Publish("order", ciphertexts=True, sums=True, feature_key=True)
    made = runs.facts(publish=publish, accuracy={})  # accuracies look like scores
    ranks = {name: float(at) for at, name in enumerate(made.agreement.teachers, start=1)}
    parsed = page(replace(made, roster=replace(made.roster, scores=ranks)))
    assert "rank 9" in parsed.text
    assert "The scores of this run are not published; their order is." in parsed.text
    assert not any(f"{score:.3f}" in parsed.text for score in runs.SCORES)


def test_the_page_in_the_folder_has_no_verdict_and_a_drawn_one_has() -> None:
    """Forgers write pages too: one that says 'checked' of itself must not look normal."""
    made = runs.both(runs.facts())
    bare = Page(report_html(*made))
    assert "Nothing on this page was checked by reading it." in bare.text
    assert "Verdict:" not in bare.text
    assert "No identity was checked" not in bare.text
    verdict = "consistent, identities checked against <keys>.toml"
    drawn = Page(report_html(*made, verdict=verdict, identities_checked=True))
    assert f"Verdict: {verdict}" in drawn.text
    assert all(limit in drawn.text for limit in wording.limits(identities_checked=True))
    unchecked = Page(report_html(*made, verdict=wording.UNCHECKED))
    assert all(limit in unchecked.text for limit in wording.limits(identities_checked=False))
    assert "Nothing on this page was checked" not in drawn.text


def test_names_the_unit_and_relation_of_the_agreement() -> None:
    """A claim for persons shown as one for records, or the reverse, is a false claim."""
    made = runs.facts()
    privacy = replace(
        made.agreement.mechanism, unit="person", max_records=4, neighbours="replace-one"
    )
    parsed = page(replace(made, agreement=replace(made.agreement, privacy=privacy)))
    assert "replacing one person, of whom at most 4 records count" in parsed.text
    assert "The unit is one record" not in parsed.text


def test_is_readable_without_seeing_it() -> None:
    """Screen readers need headings, header cells and words for the drawing."""
    parsed = page(runs.facts())
    drawings = [svg for svg in parsed.named("svg") if svg.get("role") == "img"]
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for drawing in drawings:
        assert drawing["aria-labelledby"] in ids
        assert drawing["aria-describedby"] in ids
    hidden = [svg for svg in parsed.named("svg") if svg.get("aria-hidden") == "true"]
    assert len(drawings) == 2
    assert len(drawings) + len(hidden) == len(parsed.named("svg"))
    assert len(parsed.named("h1")) == 1
    assert all(header.get("scope") in ("row", "col") for header in parsed.named("th"))
    assert len(parsed.named("caption")) == len(parsed.named("table"))


@pytest.mark.parametrize("he", [True, False])
@pytest.mark.parametrize("custody", [KEY_HOLDER, AGGREGATOR])
@pytest.mark.parametrize("shut", [True, False])
def test_drawing_follows_the_table_of_message_rules(he: bool, custody: Role, shut: bool) -> None:
    """A drawing that differs from the rules would tell an auditor a wrong story."""
    made = runs.facts(he=he, custody=custody, publish=SHUT if shut else None)
    run = steps(made)
    drawn = {step.kind: step for step in run if isinstance(step, Message)}
    absent = {"abort"} | ({"permit"} if custody == KEY_HOLDER else set())
    absent |= set() if shut else {"sealed-sum"}
    assert set(drawn) == set(RULES) - absent
    for kind, step in drawn.items():
        rule = RULES[kind]
        senders = EVERYONE if step.sender is None else (step.sender,)
        expected = (custody,) if rule.senders == CUSTODIANS else rule.senders
        assert set(senders) == set(expected)
        assert set(step.recipients) == set(rule.recipients)
        assert (step.cover == "sealed") == (rule.message_class == "sealed")
        assert step.published == (not shut or kind not in {"upload", "sum"})
    assert (drawn["upload"].cover == "hidden") == he
    acts = [step.act for step in run if isinstance(step, Local)]
    assert acts.count("noise") == 1
    words = " ".join(in_words(step) for step in drawn.values())
    assert ("READABLE BY ALL" in words) == (not he and not shut)
    assert ("READABLE BY ITS RECIPIENTS" in words) == (not he and shut)


def test_many_teachers_still_make_a_page() -> None:
    """Two hundred teachers must not draw over each other."""
    made = runs.facts()
    first = made.agreement.parties["teacher-1"]
    more = {f"clinic-with-quite-a-long-name-{at:03d}": first for at in range(200)}
    agreed = replace(made.agreement, parties={**made.agreement.parties, **more})
    parsed = page(replace(made, agreement=agreed))
    assert "209 teachers, 6 selected (filled); 185 not drawn" in parsed.text


def test_no_bound_is_shown_smaller_than_it_is() -> None:
    """Rounding an epsilon down would claim more privacy than there is."""
    assert number(0.99604) == "0.9961"
    assert number(1.00001) == "1.001"


def test_unreadable_characters_become_visible() -> None:
    """A direction override could make one institution's name look like another's."""
    assert readable("a\x00b\u202ec\ud800") == "a\ufffdb\ufffdc\ufffd"
    assert readable("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"
