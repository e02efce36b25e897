from __future__ import annotations

import pytest

from local.stack import Settings
from tools.errors import UserError


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        pytest.param({}, Settings(3000, 9200), id="defaults"),
        pytest.param({"API_PORT": "", "OPENSEARCH_PORT": "", "OPENSEARCH_URL": ""}, Settings(3000, 9200), id="empty is unset"),
        pytest.param({"API_PORT": "8080", "OPENSEARCH_PORT": "9210"}, Settings(8080, 9210), id="ports"),
        pytest.param({"API_PORT": "1024", "OPENSEARCH_PORT": "9299"}, Settings(1024, 9299), id="first and last port"),
        pytest.param({"OPENSEARCH_URL": "http://a:9200/"}, Settings(3000, 9200, "http://a:9200"), id="server that is there"),
        pytest.param({"LOG_TEXT": "false"}, Settings(3000, 9200, None, "false"), id="no text"),
        pytest.param({"PORT": "1", "HOME": "/root"}, Settings(3000, 9200), id="other variables"),
    ],
)
def test_settings(environment: dict[str, str], settings: Settings) -> None:
    assert Settings.of(environment) == settings


@pytest.mark.parametrize("name", ["API_PORT", "OPENSEARCH_PORT"])
@pytest.mark.parametrize(
    "value", ["0", "80", "1023", "65536", "-1", "3000.0", "0x1000", " 3000", "http", "²", pytest.param("9" * 5000, id="5000 digits")]
)
def test_bad_port_is_trouble(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be a port between 1024 and "):
        Settings.of({name: value})
