"""Small linear models are fitted on one thread."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import ThreadpoolController, threadpool_info

from polygraft.training import linear_head
from polygraft.training.threads import on_one_thread


def blas_threads() -> set[int]:
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def test_linear_algebra_has_one_thread_inside_and_what_it_had_after() -> None:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        assert before, "no library is found: the test is void"
        assert on_one_thread(blas_threads)() == {1}
        with pytest.raises(ValueError, match="as it was"):
            on_one_thread(_fail)()
        assert blas_threads() == before


def _fail() -> None:
    raise ValueError("as it was")


def test_a_head_is_fitted_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 18: with 20 rows `advise` took 604 s, as every fit had its threads wait for a core."""
    seen: list[set[int]] = []
    fit = LogisticRegression.fit

    def noted(self: LogisticRegression, *arguments: object, **options: object) -> object:
        seen.append(blas_threads())
        return fit(self, *arguments, **options)

    monkeypatch.setattr(LogisticRegression, "fit", noted)
    vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        linear_head.regression(vectors, ["a", "b"] * 10)
    assert seen == [{1}]
