"""Attackers on the encrypted query. Each attack works on a broken variant, kept here.

The views are those of ``scoring``'s docstring; design.md names the parties.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import pytest

from secure_fedsa.encryption.bignum import powmod
from secure_fedsa.encryption.paillier import PaillierSecret, _generate, decrypt_raw, encrypt_query
from secure_fedsa.encryption.query_proof import VerifiedModulus, verify_modulus, verify_query
from secure_fedsa.encryption.scoring import (
    ReplyRandomness,
    _draw,
    _evaluate,
    blind_for_key_holder,
    decrypt_blinded,
    evaluate,
)
from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import ProtocolError

TINY = PaillierSecret(5, 7)
SIGNALS = list(itertools.product(range(-2, 3), repeat=3))
# 15 degrees of freedom, exceeded with probability 1e-9.
CHI_SQUARE_15 = 73.6


def extract_randomness(key: PaillierSecret, ciphertext: int) -> int:
    """Return the r of ``(1 + m N) r^N``: what the key's owner can always compute."""
    root = pow(key.modulus, -1, (key.p - 1) * (key.q - 1))
    return powmod(ciphertext % key.modulus, root, key.modulus)


def tiny_decrypt(key: PaillierSecret, ciphertext: int) -> int:
    """Decrypt without phe, which is not made for tiny keys."""
    n = key.modulus
    order = math.lcm(key.p - 1, key.q - 1)
    return (pow(ciphertext, order, n * n) - 1) // n * pow(order, -1, n) % n


def all_randomness(modulus: int) -> Iterable[ReplyRandomness]:
    units = [unit for unit in range(1, modulus) if math.gcd(unit, modulus) == 1]
    return (ReplyRandomness(v, r) for v in range(modulus) for r in units)


def signal_from_randomness(
    key: PaillierSecret, query: Sequence[int], reply: int
) -> list[tuple[int, ...]]:
    """The attack: the reply's randomness is prod r_j^s_j; try every signal."""
    modulus = key.modulus
    parts = [extract_randomness(key, ciphertext) for ciphertext in query]
    target = extract_randomness(key, reply)
    found = []
    for signal in SIGNALS:
        product = 1
        for part, value in zip(parts, signal, strict=True):
            product = product * pow(part, value, modulus) % modulus
        if product == target:
            found.append(signal)
    return found


# -- (a) the key's owner alone ------------------------------------------------------------


def test_owner_reads_the_signal_if_replies_are_not_rerandomised() -> None:
    """The attack of the next test works, so that the next test means something."""
    key = _generate(128)
    query = encrypt_query(key, [1, 2, 3], bound=3)
    for signal in ((0, 0, 0), (1, -2, 2), (-2, 2, 0)):
        blinded_only = ReplyRandomness(_draw(key.modulus).blind, 1)
        reply = _evaluate(key.modulus, query, signal, blinded_only, 2)
        assert signal_from_randomness(key, query, reply) == [signal]


def test_owner_cannot_read_the_signal() -> None:
    """The student would learn a teacher's whole saliency. False alarm below 1e-30."""
    key = _generate(128)
    query = encrypt_query(key, [1, 2, 3], bound=3)
    for signal in ((0, 0, 0), (1, -2, 2), (-2, 2, 0)):
        reply = _evaluate(key.modulus, query, signal, _draw(key.modulus), 2)
        assert signal_from_randomness(key, query, reply) == []


def test_replies_are_uniform_in_the_whole_group_whatever_the_signal() -> None:
    """Exhaustive: over all (v, r) every group element comes once, for any query and signal.

    So the reply alone, with the secret key, says nothing at all.
    """
    modulus = TINY.modulus
    group = {c for c in range(1, modulus**2) if math.gcd(c, modulus) == 1}
    honest = encrypt_query(TINY, [1, -1, 2], bound=2)
    malicious = (2, modulus + 1, modulus**2 - 1)
    for query, signal in itertools.product((honest, malicious), ((0, 0, 0), (2, -1, 1))):
        replies = Counter(
            _evaluate(modulus, query, signal, randomness, 2)
            for randomness in all_randomness(modulus)
        )
        assert set(replies) == group
        assert set(replies.values()) == {1}


@pytest.mark.statistical
def test_extracted_randomness_is_uniform_and_independent_of_the_signal() -> None:
    """The same on a 64-bit key, with the real generator: 16 buckets, false alarm 1e-9 each."""
    key = _generate(64)
    query = encrypt_query(key, [1, 2, 3], bound=3)
    for signal in ((0, 0, 0), (2, 2, 2), (-2, 1, 0)):
        counts = np.zeros(16)
        for _ in range(3000):
            reply = _evaluate(key.modulus, query, signal, _draw(key.modulus), 2)
            counts[extract_randomness(key, reply) * 16 // key.modulus] += 1
        assert ((counts - 3000 / 16) ** 2 / (3000 / 16)).sum() < CHI_SQUARE_15


# -- (b) key holder, aggregator and student together --------------------------------------


@cache
def whole_blind_views(signal: tuple[int, int]) -> Counter[tuple[int, int]]:
    """(reply, v) over all randomness: the views of the broken variant that seals v."""
    query = (1 + TINY.modulus, 1 + 3 * TINY.modulus)  # q = (1, 3)
    return Counter(
        (_evaluate(TINY.modulus, query, signal, randomness, 9), randomness.blind)
        for randomness in all_randomness(TINY.modulus)
    )


def joint_views(signal: tuple[int, int], score_modulus: int) -> Counter[tuple[int, int]]:
    """(reply, w) over all randomness: what the coalition sees."""
    views: Counter[tuple[int, int]] = Counter()
    for (reply, blind), count in whole_blind_views(signal).items():
        share = blind_for_key_holder(ReplyRandomness(blind, 1), score_modulus)
        views[reply, share] += count
    return views


def distance(first: Counter[tuple[int, int]], second: Counter[tuple[int, int]]) -> float:
    """Total variation distance of two views."""
    total = first.total()
    return sum(abs(first[view] - second[view]) for view in first | second) / (2 * total)


def test_signals_with_one_score_give_one_view() -> None:
    """Key holder and aggregator together would tell signals with equal scores apart."""
    same_score = [(0, 0), (3, -1), (-6, 2)]
    views = [joint_views(signal, 8) for signal in same_score]
    assert views[0] == views[1] == views[2]


def test_scores_that_agree_modulo_m_give_nearly_one_view() -> None:
    """The bound of the docstring: apart only where x + v wraps, |x - x'| / N."""
    zero, eight = joint_views((0, 0), 8), joint_views((8, 0), 8)
    assert distance(zero, eight) <= 8 / TINY.modulus
    assert distance(zero, joint_views((1, 0), 8)) > 0.9  # one score more: seen, as it must


def test_coalition_learns_at_most_log2_m_bits() -> None:
    """Exact mutual information of the score with the joint view, uniform over all x.

    If the teacher sealed v instead of v mod M, they would learn x modulo N, entirely.
    """

    def information(views: list[Counter[tuple[int, int]]]) -> float:
        mixture: Counter[tuple[int, int]] = Counter()
        for view in views:
            mixture.update(view)
        bits = 0.0
        for view in views:
            for seen, count in view.items():
                share = count / view.total()
                bits += share * math.log2(share / (mixture[seen] / mixture.total())) / len(views)
        return bits

    signals = [(x, 0) for x in range(-5, 6)]
    sealed = information([joint_views(signal, 4) for signal in signals])
    assert 1.5 < sealed <= 2 + 1e-9  # it is the score modulo 4, after all
    broken = information([whole_blind_views(signal) for signal in signals])
    assert broken == pytest.approx(math.log2(11))


def test_packed_query_reads_the_signal_only_if_the_whole_blind_is_sealed(
    paillier_key: PaillierSecret,
) -> None:
    """A malicious query q_j = b^j would turn one score into the whole signal."""
    modulus, base, bound = paillier_key.modulus, 64, 20
    query = tuple((1 + base**j * modulus) % modulus**2 for j in range(40))
    signal = public_generator(0, "packed").integers(-bound, bound + 1, 40).tolist()
    checked = verify_query(VerifiedModulus(modulus), query, values=40, student="student")
    randomness = _draw(modulus)
    reply = evaluate(checked, signal, randomness, signal_bound=bound)
    opened = decrypt_raw(paillier_key, reply)
    assert unpack((opened - randomness.blind) % modulus, 40, base, modulus) == signal
    # With w = v mod M they have one number below M: here one and a half values of 40.
    score_modulus = 1 << 9
    share = blind_for_key_holder(randomness, score_modulus)
    seen = (opened - share) % score_modulus
    packed = sum(value * base**j for j, value in enumerate(signal))
    assert seen == packed % score_modulus
    guess = unpack((opened - share) % modulus, 40, base, modulus)
    assert guess[2:] != signal[2:]


def unpack(number: int, count: int, base: int, modulus: int) -> list[int]:
    """Return the balanced digits of the centred residue ``number``."""
    rest = number - modulus if number > modulus // 2 else number
    digits = []
    for _ in range(count):
        digit = (rest + base // 2) % base - base // 2
        digits.append(digit)
        rest = (rest - digit) // base
    return digits


# -- (c) key holder and one teacher --------------------------------------------------------


def test_key_holder_and_teacher_read_one_residue_of_the_query(
    paillier_key: PaillierSecret,
) -> None:
    """A malicious signal s_j = b^j would read the student's query if z were forwarded."""
    modulus, base = paillier_key.modulus, 64
    query = public_generator(0, "query").integers(-20, 21, 20).tolist()
    ciphertexts = encrypt_query(paillier_key, query, bound=20)
    signal = [base**j for j in range(20)]
    randomness = _draw(modulus)
    reply = _evaluate(modulus, ciphertexts, signal, randomness, base**20)
    opened = decrypt_raw(paillier_key, reply)
    assert unpack((opened - randomness.blind) % modulus, 20, base, modulus) == query
    # z mod M and all of v, r and s: a function of one number below M.
    score_modulus = 1 << 9
    forwarded = decrypt_blinded(paillier_key, reply, score_modulus)
    assert forwarded < score_modulus
    packed = sum(q * s for q, s in zip(query, signal, strict=True))
    assert (forwarded - randomness.blind) % score_modulus == packed % score_modulus


@pytest.mark.parametrize("teachers", [1, 2, 3])
def test_key_holder_and_j_teachers_read_j_residues_of_the_query(teachers: int) -> None:
    """Signals of an attacker's choice, so that their view is one of M^j at most.

    Were z forwarded whole, one teacher would tell all 343 queries apart.
    """
    key, score_modulus = _generate(128), 4
    signals = [(1, 7, 49), (49, 1, 7), (7, 49, 1)][:teachers]
    whole, views = set(), {}
    for query in itertools.product(range(-3, 4), repeat=3):
        ciphertexts = encrypt_query(key, query, bound=3)
        view, residues = [], []
        for signal in signals:
            randomness = _draw(key.modulus)
            reply = _evaluate(key.modulus, ciphertexts, signal, randomness, 49)
            packed = sum(q * s for q, s in zip(query, signal, strict=True))
            whole.add((decrypt_raw(key, reply) - randomness.blind) % key.modulus)
            forwarded = decrypt_blinded(key, reply, score_modulus)
            share = blind_for_key_holder(randomness, score_modulus)
            view.append((forwarded - share) % score_modulus)
            residues.append(packed % score_modulus)
        assert view == residues
        views[query] = tuple(view)
    assert len(whole) >= 343
    assert len(set(views.values())) <= score_modulus**teachers


# -- (d) a reader of the transcript --------------------------------------------------------


def test_transcript_reader_cannot_match_a_reply_to_a_signal() -> None:
    """Without a key, trying every signal must not reproduce the reply (false alarm 1e-30)."""
    key = _generate(128)
    square = key.modulus**2
    query = encrypt_query(key, [1, 2, 3], bound=3)

    def matches(reply: int) -> list[tuple[int, ...]]:
        return [
            signal
            for signal in SIGNALS
            if math.prod(pow(c, s, square) for c, s in zip(query, signal, strict=True)) % square
            == reply
        ]

    unblinded = _evaluate(key.modulus, query, (1, -2, 2), ReplyRandomness(0, 1), 2)
    assert matches(unblinded) == [(1, -2, 2)]
    assert matches(_evaluate(key.modulus, query, (1, -2, 2), _draw(key.modulus), 2)) == []


# -- (e) a malformed modulus ---------------------------------------------------------------


def test_malformed_modulus_reads_63_of_63_values_and_is_refused(
    paillier_key: PaillierSecret,
) -> None:
    """N = p^2 and c_j = (1 + p)^(b^j): blind and re-randomisation vanish modulo p^2.

    (1 + v N) is 1 modulo p^2, and r^N to the power p - 1 is too, so the reply to the power
    p - 1 is (1 + p)^(-x) modulo p^2, with x = sum s_j b^j modulo p.
    """
    p = max(paillier_key.p, paillier_key.q)
    modulus, base, bound, count = p * p, 1 << 16, 30_000, 63
    query = [powmod(1 + p, powmod(base, j, p), modulus**2) for j in range(count)]
    signal = public_generator(0, "malformed").integers(-bound, bound + 1, count).tolist()
    reply = _evaluate(modulus, query, signal, _draw(modulus), bound)
    logarithm = (powmod(reply, p - 1, p * p) - 1) // p
    read = unpack(-logarithm % p, count, base, p)
    assert sum(a == b for a, b in zip(read, signal, strict=True)) == count
    # The teacher never gets there: the modulus has no proof, whatever is sent as one.
    for roots in ([1] * 8, [modulus - 1] * 8, [2] * 8):
        with pytest.raises(ProtocolError, match="proof"):
            verify_modulus(modulus, roots, run_id="run", student="student", bits=2048)


def test_the_same_attack_fails_under_a_good_modulus(paillier_key: PaillierSecret) -> None:
    """Control: the attack needs the malformed modulus, not merely strange ciphertexts."""
    p, modulus = paillier_key.p, paillier_key.modulus
    base, bound, count = 1 << 16, 30_000, 63
    query = [powmod(1 + p, powmod(base, j, p), modulus**2) for j in range(count)]
    signal = public_generator(0, "malformed").integers(-bound, bound + 1, count).tolist()
    reply = _evaluate(modulus, query, signal, _draw(modulus), bound)
    logarithm = (powmod(reply, p - 1, p * p) - 1) // p
    read = unpack(-logarithm % p, count, base, p)
    # A value agrees by chance with probability 2^-16.
    assert sum(a == b for a, b in zip(read, signal, strict=True)) < 8
