"""The blinded score: if these fail, the wrong teachers are selected."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_fedsa.encryption.paillier import (
    PaillierSecret,
    decrypt_raw,
    encrypt_query,
    generate_paillier,
)
from secure_fedsa.encryption.query_proof import (
    VerifiedModulus,
    VerifiedQuery,
    prove_modulus,
    verify_modulus,
    verify_query,
)
from secure_fedsa.encryption.scoring import (
    ReplyRandomness,
    blind_for_key_holder,
    decrypt_blinded,
    draw_reply_randomness,
    evaluate,
    open_score,
    score_modulus,
)
from secure_fedsa.errors import HeadroomError, ProtocolError


def score(
    key: PaillierSecret, query: list[int], signal: list[int], signal_bound: int, score_bound: int
) -> int | None:
    """Run the four steps as student, teacher, aggregator and key holder will."""
    bound = max(1, *(abs(value) for value in query))
    verified = verify_query(
        VerifiedModulus(key.modulus),
        encrypt_query(key, query, bound=bound),
        values=len(query),
        student="student",
    )
    randomness = draw_reply_randomness(verified)
    reply = evaluate(verified, signal, randomness, signal_bound=signal_bound)
    modulus = score_modulus(score_bound, key.modulus.bit_length())
    return open_score(
        decrypt_blinded(key, reply, modulus),
        blind_for_key_holder(randomness, modulus),
        score_bound=score_bound,
        modulus_of_scores=modulus,
    )


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from([1, 2, 7, 8, 31, 32, 33, 1000, 32767, 32768]).flatmap(
        lambda bound: st.tuples(
            st.just(bound),
            st.lists(
                st.tuples(st.integers(-bound, bound), st.integers(-1000, 1000)),
                min_size=1,
                max_size=6,
            ),
        )
    )
)
def test_scores_are_exact(
    small_key: PaillierSecret, case: tuple[int, list[tuple[int, int]]]
) -> None:
    """A teacher would be ranked by another number than its inner product."""
    bound, pairs = case
    signal, query = [s for s, _ in pairs], [q for _, q in pairs]
    expected = sum(s * q for s, q in pairs)
    assert score(small_key, query, signal, bound, 6 * bound * 1000) == expected


@pytest.mark.parametrize("signal", [[5, -5], [-5, -5], [0, 0], [5, 5]])
def test_extreme_signals(small_key: PaillierSecret, signal: list[int]) -> None:
    """The offset that hides the sign would break at the ends of the range."""
    assert score(small_key, [7, -3], signal, 5, 50) == 7 * signal[0] - 3 * signal[1]


def test_scores_out_of_range_are_not_selected(small_key: PaillierSecret) -> None:
    """A cheating teacher would abort the run, or wrap to the top of the ranking."""
    assert score(small_key, [10], [10], 10, 100) == 100
    assert score(small_key, [10], [10], 10, 99) is None
    assert score(small_key, [-10], [10], 10, 99) is None
    modulus = score_modulus(99, 2048)
    assert modulus == 512
    opened = [open_score(z, 17, score_bound=99, modulus_of_scores=modulus) for z in range(modulus)]
    assert sorted(x for x in opened if x is not None) == list(range(-99, 100))


def test_score_modulus_is_the_smallest_power_of_two_above_four_bounds() -> None:
    """More bits of the signal could leak than the specification says."""
    for bound in [*range(1, 70), 2**40 - 1, 2**40, 2**40 + 1]:
        modulus = score_modulus(bound, 3072)
        assert modulus > 4 * bound >= modulus // 2
        assert modulus & (modulus - 1) == 0
    for bound in (0, -1, 1 << (3072 - 128)):
        with pytest.raises(HeadroomError):
            score_modulus(bound, 3072)


def test_wrong_signals_and_randomness_are_refused(small_key: PaillierSecret) -> None:
    """A wide signal would leave the range that the offset hides; r = p shows a factor."""
    modulus = small_key.modulus
    query = VerifiedQuery(modulus, encrypt_query(small_key, [1, 2], bound=2))
    good = draw_reply_randomness(query)
    for signal in ([6, 0], [0, -6], [1], [1, 2, 3]):
        with pytest.raises(HeadroomError):
            evaluate(query, signal, good, signal_bound=5)
    with pytest.raises(HeadroomError):
        evaluate(query, [0, 0], good, signal_bound=0)
    for blind, unit in ((modulus, 1), (-1, 1), (0, 0), (0, modulus), (0, small_key.p)):
        with pytest.raises(ProtocolError):
            evaluate(query, [1, 2], ReplyRandomness(blind, unit), signal_bound=5)


def test_evaluation_is_deterministic_given_its_randomness(small_key: PaillierSecret) -> None:
    """A resend after a crash would be another reply, and two replies are two equations."""
    query = VerifiedQuery(small_key.modulus, encrypt_query(small_key, [1, 2], bound=2))
    randomness = draw_reply_randomness(query)
    first, second = (evaluate(query, [3, -4], randomness, signal_bound=5) for _ in range(2))
    assert first == second
    assert first != evaluate(query, [3, -4], draw_reply_randomness(query), signal_bound=5)
    plain = (3 - 8 + randomness.blind) % small_key.modulus
    assert decrypt_raw(small_key, first) == plain


def test_repr_hides_the_blind(small_key: PaillierSecret) -> None:
    """A log line would unblind the score."""
    assert repr(draw_reply_randomness(VerifiedModulus(small_key.modulus))) == "ReplyRandomness()"


@pytest.mark.slow
def test_the_whole_query_at_full_size() -> None:
    """What a run does: 136 values, 16 bits, 3,072-bit modulus, with proof."""
    from secure_fedsa.entropy import public_generator

    key = generate_paillier()
    roots = prove_modulus(key, run_id="run", student="student")
    verified = verify_modulus(key.modulus, roots, run_id="run", student="student", bits=3072)
    generator = public_generator(0, "full size")
    bound = (1 << 15) - 1
    values = [generator.integers(-bound, bound + 1, 136).tolist() for _ in range(2)]
    query, signal = values
    checked = verify_query(
        verified, encrypt_query(key, query, bound=bound), values=136, student="student"
    )
    randomness = draw_reply_randomness(checked)
    reply = evaluate(checked, signal, randomness, signal_bound=bound)
    modulus = score_modulus(136 * bound * bound, 3072)
    opened = open_score(
        decrypt_blinded(key, reply, modulus),
        blind_for_key_holder(randomness, modulus),
        score_bound=136 * bound * bound,
        modulus_of_scores=modulus,
    )
    assert opened == sum(a * b for a, b in zip(query, signal, strict=True))
