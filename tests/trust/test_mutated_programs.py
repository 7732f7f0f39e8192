"""Programs that nobody would write are checked and fixed without an error: see ``benchmarks/fuzz.py``."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fuzz import Outcome, attempt, material_of_examples, program


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_mutated_examples(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLCHECK_DEBUG", "1")
    chance, material, outcome = random.Random(seed), material_of_examples(), Outcome()
    for _ in range(25):
        attempt(program(chance, material), outcome)
    assert outcome.failures == {}
