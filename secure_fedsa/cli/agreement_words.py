"""What every entry of an agreement does, in words, by clause."""

from __future__ import annotations

WORDS: dict[str, str] = {
    "version": "Version of this format.",
    "title": "What this agreement is about, for people. Nothing else depends on it.",
    "route": (
        'What makes a teacher\'s signals private. "noisy-release": noise on a sum, over its '
        'records, of a public function of one record. "private-training": its model is trained '
        'with noise (DP-SGD). "encryption-only": NO DIFFERENTIAL PRIVACY, masks and encryption '
        "alone."
    ),
    "simulation": (
        "true lets tests draw noise from a seed. Such a run protects nobody, and verify refuses it."
    ),
    "custody": (
        'Who makes and holds the one-use key of the encrypted sum: "key-holder" or '
        '"aggregator". With "aggregator" the student\'s side can open the sum alone. Masks still '
        "hide single teachers, but that only one sum was opened is then the aggregator's word."
    ),
    "parties": (
        "Everybody who takes part; nobody else can. role: teacher, aggregator, key-holder or "
        "student. key: the party's public identity key (secure-fedsa keys show), 64 hexadecimal "
        "digits. classes: the names of a teacher's own classes, in the order of its labels; "
        "they are public. stated: how a teacher says that it trained the model that it brings, "
        "with privacy but before the run; its word, which nobody witnesses."
    ),
    "encoder": "The public function of one record that every teacher applies.",
    "encoder.sha256": (
        "SHA-256 of the encoder's file, encoder.safetensors, which every party needs. A teacher "
        "with any other refuses."
    ),
    "encoder.dimension": (
        "Numbers in an encoded record (d). A signal of noisy-release has d (d + 1) / 2 + 1 "
        "values. From the encoder."
    ),
    "encoder.probes_sha256": (
        "Hash of the public examples (probes) that the encoder was fitted to: their shape, type "
        "and bytes."
    ),
    "student_privacy": (
        "What is promised about the student's own labelled records: one noisy summary of them, "
        "with delta, neighbours, grid and count weight of [privacy], is all that is ever used. "
        "Without this table they are NOT protected."
    ),
    "student_privacy.epsilon": "Bound of the privacy loss of that summary.",
    "student_privacy.noise_multiplier": (
        "Standard deviation of its noise, divided by the most that one record adds."
    ),
    "student_privacy.budget": (
        "Epsilon of all uses of the student's labelled records, under any agreement with this "
        "table."
    ),
    "student_privacy.classes": "Number of classes of the student's task.",
    "student_privacy.directions": (
        "Directions of the opened sum along which the records are summed; the fewer, the less "
        "noise."
    ),
    "institution_privacy": (
        "What the opened sum promises about one whole teacher: its signal is scaled down to a "
        "norm and carries a share of noise, and the shares add up. All that are ready are "
        "selected, and no score says anything. Its part in the run and the names of its classes "
        "stay visible. Without this table an institution is NOT hidden by noise."
    ),
    "institution_privacy.epsilon": (
        "Bound of the privacy loss of one run's sum, at the delta of [privacy], against who sees "
        "the sum and works together with max_colluding of its teachers. It rests on masks and "
        "encryption, and on the others of a minimum cohort to have drawn their shares."
    ),
    "institution_privacy.neighbours": (
        '"member-to-zero": its signal becomes zero. "member-to-any": any other; that takes twice '
        "the noise."
    ),
    "institution_privacy.norm_bound": "Norm that a signal keeps at most, in integer steps.",
    "institution_privacy.share_scale": (
        "Standard deviation of one teacher's share of noise, in the same steps. Computed from "
        "epsilon for the minimum cohort less max_colluding."
    ),
    "institution_privacy.records": (
        "Order of magnitude of a teacher's records, for the student: their number is not sent."
    ),
    "privacy": "What the promise of differential privacy is.",
    "privacy.unit": (
        'Whom the promise protects: one "record", or one "person", of whom at most max_records '
        "records count at a teacher, by person ids in its data. A person at several teachers loses "
        "epsilon at each."
    ),
    "privacy.neighbours": (
        '"add-remove": whether one record was there can hardly be told. "replace-one": nor which '
        "of two it was; that takes about twice the noise."
    ),
    "privacy.max_records": (
        "Records of one person that count; what a person has beyond adds nothing. 1 for the unit "
        "record. In noisy-release noise grows in proportion; in private-training it does not, as "
        "the mean of a person's gradients is clipped."
    ),
    "privacy.epsilon": (
        "Bound of the privacy loss of one run at one teacher. Smaller protects more and teaches "
        "less."
    ),
    "privacy.delta": (
        "Probability that the bound fails. Keep it well below one over a teacher's number of "
        "records."
    ),
    "privacy.clip_norm": (
        "Length to which an encoded record is cut, so that none counts for more. From the "
        "encoder: half of its probes are longer."
    ),
    "privacy.grid": (
        "Whole steps in one clip norm, to which records are rounded. Finer makes integers longer "
        "and little else."
    ),
    "privacy.count_weight": (
        "What a record adds to its class's count, in clip norms. More makes counts more exact "
        "and all else noisier."
    ),
    "privacy.count_floor": (
        "Fewest records that a noisy class count may stand for; keeps means of near-empty "
        "classes from exploding."
    ),
    "privacy.noise_multiplier": (
        "Standard deviation of the noise, in units of the most that one record (or person) can "
        "change. Computed from epsilon and delta; plan refuses less."
    ),
    "privacy.agreement_budget": (
        "Epsilon, at delta, that all runs under this agreement together may spend at a teacher. "
        "Unless told, agree new sets ten times epsilon."
    ),
    "privacy.data_set_budget": (
        "Epsilon that all runs on one data set may spend, whatever the agreement. Unless told, "
        "as much as the agreement's budget, and at least 20."
    ),
    "training": (
        "How each teacher's model is trained in the run, by DP-SGD; all of it public and fixed "
        "before records are read."
    ),
    "training.sampling_rate": (
        "Probability with which a step takes a record, or all that count of a person."
    ),
    "training.steps": "Number of steps; training never stops earlier.",
    "training.noise_multiplier": (
        "Standard deviation of a step's noise, in units of clip_norm. Computed from epsilon, "
        "delta, sampling_rate and steps; plan refuses less. The noise is floating-point."
    ),
    "training.clip_norm": (
        "Length to which each record's gradient is cut, or each person's mean gradient where "
        "persons are the unit."
    ),
    "training.denominator": (
        "What a step's noisy sum of gradients is divided by; sampling_rate times the order of "
        "magnitude of a teacher's records. Never its true number."
    ),
    "training.learning_rate": "Of the optimiser.",
    "training.momentum": "Of plain gradient steps.",
    "training.averaged": "Share of the last steps over which the weights are averaged.",
    "training.optimiser": '"sgd" or "adam".',
    "training.seed": "Public seed of a model's first weights; noise never depends on it.",
    "answers": "What a teacher's model is asked about the public probes, and how it answers.",
    "answers.form": (
        '"sketch": its features and outputs through a secret random matrix. "gram": how alike it '
        'finds probes. "scatter": along which directions of the encoding it tells them apart.'
    ),
    "answers.probes": "How many probes it is asked about, the first of the agreed ones.",
    "answers.width": "Columns of a sketch; 0 for other forms.",
    "answers.saliency": (
        'What is compared with the student\'s question: "alignment" of kernels, or attribution '
        'maps by "grad-cam" or "input-x-gradient".'
    ),
    "protection": "What a run is protected by. Report, summary and receipt say it.",
    "protection.dp": ("Differential privacy: of every route but encryption-only, which has NONE."),
    "protection.he": (
        "Encryption of the student's question and of the teachers' signals. false is for "
        "comparisons only: single signals are then open."
    ),
    "protection.masks": (
        "Pairwise masks, which hide single signals from the holder of the feature key too. "
        "Switched together with he."
    ),
    "saliency": "What teachers and student compare under encryption, so that the best are chosen.",
    "saliency.directions": (
        "Leading directions of the encoding that are compared (m). The question has m (m + 1) / 2 "
        "values: more take longer and tell more about the teachers."
    ),
    "saliency.unit": (
        "Scatter per record that counts as 1, in squared clip norms. From the encoder: the "
        "probes' largest variance."
    ),
    "saliency.teacher_bound": "Largest absolute value of a teacher's signal before rounding.",
    "saliency.query_bound": "Largest absolute value of the student's question before rounding.",
    "saliency.bits": "Bits of each rounded value, sign included.",
    "features": "How the values of the selected teachers' sum become whole numbers.",
    "features.bound": (
        "Largest absolute whole number of one teacher's value; more is cut. Twice select times "
        "bound must stay below plain_modulus."
    ),
    "features.scale": (
        "Whole steps in one unit of the signal. For noisy-release agree new sets bound / "
        "(4 x --records): values above four times that many records are cut."
    ),
    "encryption": "Parameters of the encrypted sum (BFV) and of the encrypted question (Paillier).",
    "encryption.scheme": "Exact whole numbers.",
    "encryption.poly_modulus_degree": "Values in one ciphertext.",
    "encryption.coeff_mod_bit_sizes": (
        "Bits of the primes of the ciphertext modulus; the last serves keys only. Their sum is "
        "bounded for 128-bit security, and they leave the noise budget that plan proves."
    ),
    "encryption.plain_modulus": (
        "Sums are exact below half of this prime, which must be 1 modulo twice the degree."
    ),
    "encryption.query_modulus_bits": (
        "Length of the student's Paillier modulus, bits: 3,072 is 128-bit security. Time grows "
        "with its cube."
    ),
    "selection": "Who is chosen, and how many a sum needs.",
    "selection.select": "Most teachers in the sum.",
    "selection.threshold": (
        "Smallest score that may be selected; 1 means the same task, 0 nothing in common."
    ),
    "selection.minimum_cohort": "Fewest teachers in a sum that may be opened.",
    "selection.max_colluding": (
        "Teachers that may work together against another. No sum over fewer than two more is "
        "ever opened."
    ),
    "publish": "What the run folder shows to whoever reads it.",
    "publish.scores": (
        '"none", "order" (ranks only) or "values". A score tells how near a teacher\'s task is to '
        "the student's."
    ),
    "publish.ciphertexts": (
        "true: the masked uploads and their sum, so that verify adds them again. false: their "
        "hashes; the sum is then attested by aggregator and key holder."
    ),
    "publish.sums": (
        "true: the opened sum, which verify can then check. false: it is sealed to the student."
    ),
    "publish.feature_key": (
        "true: the one-use secret key after its one use, so that verify decrypts again. Needs "
        "ciphertexts, sums and protection.he. Single uploads stay hidden by their masks."
    ),
    "limits": "How long a party waits across machines, and how many runs may fail.",
    "limits.reply_seconds": (
        "Seconds after which every teacher's answer leaves, whenever it was ready. (Runs on one "
        "machine have no clocks.)"
    ),
    "limits.silence_seconds": "Seconds after which a silent party is given up.",
    "limits.max_burned": (
        "Charges that a teacher may lose to runs without a result before its operator must look."
    ),
    "retention": (
        "How long each party keeps, at most, what runs leave in its state folder. Keys, masks and "
        "signals of a run go at its end in any case; ledgers and release logs are kept for ever. "
        "Copies below the file system, snapshots and backups are not reached."
    ),
    "retention.local_log_days": (
        "Days that a line of a party's local log is kept; 0: until the run's end. Checked when a "
        "run begins and ends, and by: secure-fedsa erase"
    ),
    "retention.unfinished_days": (
        "Days after which a run that was cut off is given up: its keys, masks and signals are "
        "erased, and what it charged stays spent. Checked when a run begins, and by: secure-fedsa "
        "erase"
    ),
    "signatures": (
        "One line a party, added by: secure-fedsa agree sign. Each covers every entry above, "
        "and no comment."
    ),
}
