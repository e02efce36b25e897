"""Tests answers that the page gives without asking OpenSearch."""

from __future__ import annotations

import pytest

from local.page import Page


@pytest.mark.parametrize("target", ["//[", "//[a]/?since=1h", "/?since=soon"])
def test_an_invalid_target_is_answered_with_400(target: str) -> None:
    assert Page(lambda _: {}).answer(target)[0] == 400
