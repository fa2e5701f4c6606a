"""The tests notice seeded faults: the first half of faults.toml."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mutation.bench import Bench
from tests.mutation.catalogue import Fault
from tests.mutation.entry import half, notice

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One copy of the project for all of them."""
    with Bench(tmp_path_factory.mktemp("mutation")) as made:
        assert made.check_all_at_once(half(0)), "tests fail without any fault"
        yield made


@pytest.mark.parametrize("fault", half(0), ids=lambda fault: fault.id)
def test_a_seeded_fault_is_noticed(bench: Bench, fault: Fault) -> None:
    """If this fails, the code may lose what the fault says, and every test passes."""
    notice(bench, fault)
