from __future__ import annotations

import pytest

from local import stack
from tests.unit.installer.domain import Domain, listening


@pytest.mark.parametrize("index", ["cwl-2026.01.01", "cwl-2020.05.05"])
def test_an_existing_server_gets_no_retention_policy(
    monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    """A demo must not delete documents.

    `make run` with OPENSEARCH_URL creates no retention policy, and gives none to an existing index.
    """
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    domain = Domain()
    domain.indices = {index: (None, None)}
    with listening(domain.answer) as url:
        stack._install(url, "a-log-group")
    assert domain.templates
    assert domain.policies == {}
    assert domain.indices == {index: (None, None)}
    assert not [each for each in domain.writes if "_ism" in each]
