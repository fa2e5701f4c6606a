"""The run as an entry of the Differential Privacy Deployments Registry, as far as it is known.

The registry is what Dwork, Kohli and Mulligan ("Differential privacy in practice: expose your
epsilons!", 2019) asked for; its schema rests on Ghazi, Nanayakkara and Vadhan's research
(arXiv:2509.13509). Every field of the schema is here; what no file of the run says is None. Such
an entry is a draft for people to finish: the registry takes no empty fields.
"""

from __future__ import annotations

from typing import Any

from secure_fedsa.agreement import NOISY_RELEASE, PRIVATE_TRAINING, Agreement
from secure_fedsa.audit.answers.source import Source
from secure_fedsa.errors import counted
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining
from secure_fedsa.report import wording
from secure_fedsa.report.notices import FLOATING_POINT, NO_DIFFERENTIAL_PRIVACY

SCHEMA = (
    "https://github.com/opendp/deployments-registry-data/blob/"
    "3e9c812a924cf01d228f26f6c462c59c391c3f2a/schemas/deployments-schema.yaml"
)
SCHEMA_DATE = "2026-07-15"


def registry(source: Source) -> dict[str, Any]:
    """Return the draft of a registry entry, and which schema it follows."""
    return {
        "schema": SCHEMA,
        "schema_date": SCHEMA_DATE,
        "entry": {
            "url_slug": None,
            "status": "Draft",
            "tier": None,
            "deployment": {
                "basic": _basic(source),
                "dp_variant": _variant(source),
                "privacy_loss": _loss(source),
                "deployment_model": _model(source),
                "accounting": _accounting(source),
                "implementation": _implementation(source),
                "administrative": {
                    "sources": None,
                    "notes": _notes(source),
                    "registry_authors": None,
                },
            },
        },
    }


def _basic(source: Source) -> dict[str, Any]:
    return {
        "name": source.agreement.title,
        "data_curators": list(source.charges),
        "description": f"{wording.what_was_summed(source.agreement)} {_outcome(source)}",
        "intended_use": None,
        "data_product_type": "Machine learning model",
        "data_product_region": None,
        "publication_date": None,
        "data_product_sector": None,
    }


def _outcome(source: Source) -> str:
    classes = ", ".join(source.facts.class_names) or "classes that the run does not name"
    return (
        f"From it and its own few labelled records a student made a classifier of {classes}; "
        f"{len(source.verdict.facts.members)} of {len(source.agreement.teachers)} institutions are "
        "in the sum."
    )


def _variant(source: Source) -> dict[str, Any]:
    if not source.private:
        return {"variant_name": None, "data_domain": None, "unprotected_quantities": None}
    domain = (
        "Labelled records of one institution, labels among the classes that its agreement names"
    )
    if source.agreement.route == NOISY_RELEASE:
        domain += f"; encoded to {source.agreement.encoder.dimension} numbers by a public encoder"
    return {
        "variant_name": "Approximate DP",
        "data_domain": f"{domain}.",
        "unprotected_quantities": (
            f"The institutions' classes, {_who(source.agreement)}, and all else that the agreement "
            "says; "
            + (
                "the student's own labelled records."
                if source.agreement.student_privacy is None
                else "the student's test records."
            )
        ),
    }


def _who(agreement: Agreement) -> str:
    """Return what a roster says: where sums protect institutions, nobody is chosen by a score."""
    return "who was selected" if agreement.institution_privacy is None else "who took part"


def _loss(source: Source) -> dict[str, Any]:
    if not source.private:
        names = ("privacy_unit", "privacy_unit_details", "privacy_parameters")
        return dict.fromkeys((*names, "privacy_parameters_details"))
    rho = source.summary["accounting"].get("rho")  # checked against the charges, if it is there
    exact = "" if source.agreement.route == NOISY_RELEASE else f" {FLOATING_POINT}"
    return {
        "privacy_unit": wording.unit(source.facts),
        "privacy_unit_details": f"{wording.neighbours(source.facts)}, at one institution",
        "privacy_parameters": {
            "epsilon": source.summary["epsilon"],
            "delta": source.summary["delta"],
            "rho": rho,
        },
        "privacy_parameters_details": (
            "Of each institution in this run, the one that loses most; the same against every "
            "other party and all of them together. That the noise was drawn is each "
            f"institution's word.{exact}{_other_promises(source)}"
        ),
    }


def _other_promises(source: Source) -> str:
    """Return what is promised to the student's records and to whole institutions, if anything."""
    agreement, found = source.agreement, []
    if agreement.institution_privacy is not None:
        found.append(wording.institution_statement(source.facts, source.summary))
    if agreement.student_privacy is not None:
        found.append(wording.student_statement(source.facts, source.summary))
    return "".join(f" {text}" for text in found)


def _model(source: Source) -> dict[str, Any]:
    agreement = source.agreement
    roles = {name: party.role for name, party in sorted(agreement.parties.items())}
    noise = (
        "By the protocol each institution adds all noise to its own records' summary or training "
        "before anything leaves it; nobody else has to be trusted for epsilon."
    )
    if agreement.institution_privacy is not None:
        noise += (
            " That is the epsilon for records: the one for a whole institution rests on masks, "
            "encryption and the other members' shares of noise."
        )
    return {
        "model_name": "Federated" if source.private else None,
        "model_name_details": noise if source.private else NO_DIFFERENTIAL_PRIVACY,
        "actors": "; ".join(f"{name} ({role})" for name, role in roles.items())
        + ". "
        + (wording.encryption_on(agreement) if agreement.protection.he else wording.ENCRYPTION_OFF),
        "release_type": "One release",
        "release_type_details": _release_details(source),
        "data_source_type": None,
        "data_source_type_details": None,
        "access_type": "Non-interactive",
        "access_type_details": _access(agreement),
    }


def _access(agreement: Agreement) -> str:
    publish = agreement.publish
    shown = {
        "ciphertexts": publish.ciphertexts,
        "the opened sum": publish.sums,
        "the feature key": publish.feature_key,
    }
    listed = [name for name, published in shown.items() if published]
    return (
        "Released are the student and the run folder, with every party's messages; by agreement "
        f"it shows of scores: {publish.scores}; besides: {', '.join(listed) or 'none of the sums'}."
    )


def _release_details(source: Source) -> str:
    if not source.private:
        return "One run; no budget limits further ones."
    promise = source.agreement.promise
    return (
        f"One run. All runs under its agreement may spend epsilon {promise.agreement_budget:g}, "
        f"all runs on a data set {promise.data_set_budget:g}, both at delta {promise.delta:g}; "
        "nothing is ever given back."
    )


def _accounting(source: Source) -> dict[str, Any]:
    if not source.private:
        return {"post_processing": None, "composition": None}
    return {
        "post_processing": _processing(source.agreement),
        "composition": f"One charge for each institution and run, added up in its ledger by "
        f"{_accountant(source)}. Of one unit at several institutions the losses add up.",
    }


def _processing(agreement: Agreement) -> str:
    """Return what is computed from noisy values alone."""
    if agreement.route != NOISY_RELEASE:
        return (
            "The trained model's answers about public probes, scores, the sum over institutions, "
            "the student's training."
        )
    of_signals = (
        "scores against the student's question"
        if agreement.institution_privacy is None
        else "scaling down to a public norm, a share of noise that hides the institution"
    )
    return (
        "Scatter of class means with a floor under the counts, fixed-point rounding and clipping, "
        f"{of_signals}, the sum over institutions, the student's training."
    )


def _accountant(source: Source) -> str:
    """Return the accountant of this software: the summary's text is anybody's."""
    check = source.plan.accounting
    assert check is not None
    return check.accountant


def _implementation(source: Source) -> dict[str, Any]:
    return {
        "preprocessing_and_hyperparameter_tuning": (
            "All parameters stand in an agreement that was signed before the run; how they were "
            "found before that, the run folder does not show."
        ),
        "mechanisms": _mechanisms(source),
        "justification": None,
    }


def _mechanisms(source: Source) -> str | None:
    if not source.private:
        return None
    event = source.worst_event
    if isinstance(event, DiscreteGaussianRelease):
        return (
            f"Discrete Gaussian noise of scale {event.noise_scale:g} on whole numbers of L2 "
            f"sensitivity {event.sensitivity:g}. By the software, which the folder does not show: "
            "sampled exactly by OpenDP from the operating system's generator, and no "
            f"floating-point value enters the sum or its noise.{_shares(source.agreement)}"
        )
    assert isinstance(event, DpSgdTraining)
    assert source.agreement.route == PRIVATE_TRAINING
    return (
        f"DP-SGD: noise multiplier {event.noise_multiplier:g}, sampling rate "
        f"{event.sampling_rate:g}, {counted(event.steps, 'step')}. {FLOATING_POINT}"
    )


def _shares(agreement: Agreement) -> str:
    """Return the noise by which a sum hides a whole institution; empty where it does not."""
    agreed = agreement.institution_privacy
    if agreed is None:
        return ""
    return (
        f" For whole institutions: each member adds a discrete Gaussian share of scale "
        f"{agreed.share_scale:g} to a signal of L2 norm at most {agreed.norm_bound:,}; the shares "
        "add up in the sum."
    )


def _notes(source: Source) -> str:
    text = (
        "Drafted from a run folder of secure-fedsa; curators are the institutions that added "
        "noise, by their names in the agreement. Whoever publishes the student has to add to it."
    )
    return text if source.private else f"{NO_DIFFERENTIAL_PRIVACY} {text}"
