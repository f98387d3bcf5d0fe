"""Every benchmark runs, in tiny size: given nothing but an empty folder, then it measures all that it promises."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import BENCHMARKS
from tests.benchmarks.core import Figure, Result, Size, Target


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    results = list(BENCHMARKS[name](Size.TINY, tmp_path))

    assert any(result.target for result in results)
    for result in results:
        assert all(math.isfinite(value) and value > 0 for value in result.figure.rounds)
        assert bool(result.beside) is (result.beside_figure is not None)


def test_a_verdict_is_that_of_the_median() -> None:
    fast, slow = Figure((9.0, 11.0, 12.0)), Figure((9.0, 9.5, 12.0))

    assert Result("rate", "/s", fast, Target("at least", 10)).verdict == "met"
    assert Result("rate", "/s", slow, Target("at least", 10)).verdict == "missed"
    assert Result("time", "s", slow, Target("under", 10)).verdict == "met"
    assert Result("time", "s", fast, Target("under", 10)).verdict == "missed"
    assert Result("time", "s", fast).verdict == ""
