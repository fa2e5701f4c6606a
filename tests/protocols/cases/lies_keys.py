"""Lies that need a one-use key of the forger's own. Keys and ciphertexts are drawn fresh."""

from __future__ import annotations

import numpy as np

from secure_fedsa.encryption import ciphertexts
from secure_fedsa.encryption.keys import generate_feature_key
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.signals import Masked, int_array
from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import Run
from tests.protocols.cases.lies import bad


def _parameters(run: Run) -> BfvParameters:
    terms = dict(run.terms["encryption"])
    return BfvParameters(
        terms["poly_modulus_degree"], tuple(terms["coeff_mod_bit_sizes"]), terms["plain_modulus"]
    )


@bad("K6", "published", "This key is of another public key; any key opens any sum to something.")
def published_key_unrelated_to_the_public_key(run: Run) -> str:
    letter = run.one("release")
    letter.body["secret_key"] = formulas.b64(generate_feature_key(_parameters(run)).secret)
    return letter.path()


@bad("K6", "published", "Uploads, sum and key match each other, but not the public key.")
def uploads_sum_and_key_that_match_but_not_the_public_key(run: Run) -> str:
    parameters = _parameters(run)
    key = generate_feature_key(parameters)
    uploads = {}
    for place, letter in enumerate(run.of("upload"), 1):
        values = int_array(np.arange(16, dtype=np.int64) * place)
        masked = Masked(values, parameters.plain_modulus)
        uploads[letter.header["sender"]] = ciphertexts.encrypt(parameters, key.public, masked)
        letter.body["ciphertext"] = formulas.b64(uploads[letter.header["sender"]].ciphertext)
    total = ciphertexts.add(parameters, uploads, values=16)
    opened = ciphertexts.decrypt(parameters, key.secret, total)
    run.one("sum").body["ciphertext"] = formulas.b64(total.ciphertext)
    letter = run.one("release")
    letter.body["secret_key"] = formulas.b64(key.secret)
    letter.body["values"] = formulas.b64(formulas.packed(map(int, opened.values)))
    return letter.path()
