"""The page's answers without a server of documents."""

from __future__ import annotations

import pytest

from local.page import Page


@pytest.mark.parametrize("target", ["//[", "//[a]/?since=1h", "/?since=soon"])
def test_a_target_that_cannot_be_understood_is_the_callers_fault(target: str) -> None:
    assert Page(lambda _: {}).answer(target)[0] == 400
