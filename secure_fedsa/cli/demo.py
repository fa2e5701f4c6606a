"""The demo: the whole main job on public data, or on a folder of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.cli.baselines import (
    Baselines,
    RememberingEncoder,
    simulate_without_noise,
    without_privacy,
)
from secure_fedsa.cli.data_folder import load_folder
from secure_fedsa.cli.datasets import load_fashion_mnist
from secure_fedsa.cli.demo_agreement import DemoOptions, demo_agreement, demo_encoder_spec
from secure_fedsa.cli.demo_files import trust_file, write_simulation
from secure_fedsa.cli.progress import Progress
from secure_fedsa.cli.runner import Finished, Job, Runner
from secure_fedsa.cli.splits import DemoData, demo_split
from secure_fedsa.cli.state_folders import StateFolders
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.engines.run_folder import agreement_toml
from secure_fedsa.engines.site import load_identity
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder
from secure_fedsa.wire.agreement_signatures import sign

TRUST_FILE = "keys.toml"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo leaves.

    Attributes:
        finished: The run, and where its folder is.
        trust: The file of the parties' keys.
        simulation: Where simulation.json is; None for a user's own data, and for models.
    """

    finished: Finished
    trust: Path
    simulation: Path | None


def run_demo(out: Path, options: DemoOptions, progress: Progress) -> DemoResult:
    """Draft and sign an agreement, run under it, and write the run folder.

    Args:
        out: The run folder. State folders lie beside it, in ``<out>-state``.
        options: The flags.
        progress: Where progress goes.
    """
    out = out if out.name else out.resolve()  # "." has no name to put anything beside
    states = StateFolders(out.with_name(out.name + "-state"), "--out", _data_options(options))
    private = [Path(options.data)] if options.data else []
    runner = Runner(out, states, progress, private=[states.root, *private])
    data = _data(options, progress)
    progress.say(f"Data: {data.source}")
    kind = RememberingEncoder if not options.data else PublicEncoder
    encoder = _encoder(data, demo_encoder_spec(options, data), states, kind)
    progress.say(f"Public encoder fitted to {len(data.probes)} probes")
    states.remember_data()
    agreement = _agreement(options, data, encoder, states)
    trust = states.keep(TRUST_FILE, trust_file(agreement))
    simulated = not options.data and options.route == NOISY_RELEASE
    simulation = out.with_name("simulation.json") if simulated else None

    def simulate(finished: Finished) -> None:
        if simulation is not None:  # a user's own records are nobody's to simulate with
            _simulate(simulation, data, agreement, finished)

    job = Job(agreement, agreement_toml(agreement), data, encoder, options.seed, demo=True)
    return DemoResult(runner.run(job, after=simulate), trust, simulation)


def _data_options(options: DemoOptions) -> dict[str, Any]:
    if options.data:
        return {"data": options.data}
    return {"seed": options.seed, "records": options.records, "labels": options.labels}


def _data(options: DemoOptions, progress: Progress) -> DemoData:
    if options.data:
        return load_folder(Path(options.data))
    return demo_split(
        load_fashion_mnist(progress.say),
        seed=options.seed,
        labels=options.labels,
        records=options.records,
    )


def _encoder(
    data: DemoData, spec: EncoderSpec, states: StateFolders, kind: type[PublicEncoder]
) -> PublicEncoder:
    """Fit the public encoder, once for the same probes and width.

    Another fit could differ in a last bit, and a run that was cut off goes on only under
    the agreement that names its encoder's hash.
    """
    name = f"encoder-{probes_hash(data.probes)[:16]}-{spec.dimension}.safetensors"
    path = states.root / name
    if path.exists():
        return kind.from_bytes(path.read_bytes())
    encoder = kind.fit(data.probes, spec)
    states.keep(name, encoder.to_bytes())
    return encoder


def _agreement(
    options: DemoOptions, data: DemoData, encoder: PublicEncoder, states: StateFolders
) -> Agreement:
    """Return the demo's agreement, signed by all; a party's key is made on first use."""
    names = [*(teacher.id for teacher in data.teachers), AGGREGATOR, KEY_HOLDER, STUDENT]
    identities = {name: load_identity(states.of(name)) for name in names}
    keys = {name: identity.public.hex() for name, identity in identities.items()}
    agreement = demo_agreement(options, data, encoder, keys)
    for name, identity in identities.items():
        agreement = sign(agreement, name, identity)
    return agreement


def _simulate(path: Path, data: DemoData, agreement: Agreement, finished: Finished) -> None:
    values = simulate_without_noise(
        data, finished.workshop, agreement, finished.members, finished.exam
    )
    if agreement.student_privacy is not None:
        # Not in the run folder: the student's labelled records went in without noise.
        baselines = Baselines(data, finished.workshop)
        values["accuracy"] |= without_privacy(finished.workshop, finished.exam, baselines)
    values |= {"run_id": finished.summary["run_id"], "seed": finished.summary["seed"]}
    write_simulation(path, values)
