"""Encryption: BFV sums, pairwise masks, and the encrypted saliency query.

Two independent paths, each with its own keys:

* *features* (``fixed_point`` -> ``masks`` -> ``ciphertexts``): every selected teacher
  masks its signal, encrypts it under the key holder's one-use BFV key and uploads it;
  anybody adds; the key holder opens the sum. Masks hide singles from the key holder,
  encryption hides the masked values and the sum from everybody else.
* *scores* (``paillier`` -> ``query_proof`` -> ``scoring``): the student sends its
  saliency under a fresh Paillier key; every teacher answers with one blinded inner
  product; the key holder removes the blind.

Each module says at its top who sends what and who learns what, alone and colluding.
Functions that draw randomness (``generate_*``, ``encrypt*``, ``draw_*``,
``check_published_key``) are apart from deterministic ones. Randomness comes from
:mod:`secure_fedsa.entropy`, except inside TenSEAL (SEAL seeds its generator from the
operating system) and phe (``random.SystemRandom``).
"""
