"""Green never means "not run": a missing program is a skip on a laptop and a failure in CI."""

from __future__ import annotations

import pytest

from support.needs import require

NOBODY_HAS_IT = "a-program-that-nobody-has"


def test_the_path_of_a_program_that_is_there_is_given() -> None:
    assert require("sh").endswith("/sh")


def test_a_missing_program_skips_the_test_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install"):
        require(NOBODY_HAS_IT)


def test_a_missing_program_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=NOBODY_HAS_IT):
        require(NOBODY_HAS_IT)
