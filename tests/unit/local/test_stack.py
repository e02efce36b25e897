from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local import stack
from local.cloudwatch import Subscription
from local.runtime import FunctionFailed
from local.stack import Settings
from tools.errors import UserError
from tools.ports import ensure_free, holder

PATTERN = '{ $.message = "prediction" }'


def fail(_event: dict[str, Any]) -> Any:
    raise FunctionFailed("ImportError", "no module")


@pytest.mark.parametrize(
    ("lines", "ship", "said"),
    [
        ([], lambda _: None, []),
        (["START", '{"message": "prediction"}'], lambda _: None, []),
        (
            ['{"message": "prediction"}'],
            fail,
            ["1 record did not arrive in OpenSearch: the lines are in /logs"],
        ),
        (
            ["START", *['{"message": "prediction"}'] * 3],
            fail,
            ["3 records did not arrive in OpenSearch: the lines are in /logs"],
        ),
    ],
    ids=["no line", "every record arrived", "one record missing", "three records missing"],
)
def test_records_that_did_not_arrive_are_counted_in_a_message(
    lines: list[str], ship: Callable[[dict[str, Any]], object], said: list[str]
) -> None:
    subscription, heard = Subscription("a-group", PATTERN, ship), list[str]()
    for line in lines:
        subscription.put(line)
    subscription.stop()
    subscription.run()
    stack._say_missing(subscription, Path("/logs"), heard.append)
    assert heard == said


def test_a_failure_of_a_function_is_noted_in_the_list_of_failures_and_raised() -> None:
    failures: list[str] = []
    with pytest.raises(FunctionFailed):
        stack._noting(fail, "POST /predict: InferenceFunction", failures)({})
    assert failures == ["POST /predict: InferenceFunction: ImportError: no module"]


def test_a_log_file_is_private_and_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    for line in ("first", "second \ud800"):
        with stack._log(path) as keep:
            keep(line)
            assert path.read_text().startswith(line[:5])
        keep("after its end")
    assert path.read_text() == "second \\ud800\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with (
        pytest.raises(UserError, match="set HOME to a folder that you own"),
        stack._log(tmp_path / "logs" / "a.log"),
    ):
        pass


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into /proc")
@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")]
)
def test_a_taken_port_is_reported_with_the_process_that_listens_there(
    family: socket.AddressFamily, address: str
) -> None:
    with closing(socket.socket(family)) as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        own = Path("/proc/self").resolve().name
        with pytest.raises(
            UserError,
            match=rf"process {own} listens there \(.*python.*\)\. "
            "Choose another port with API_PORT=",
        ):
            ensure_free(port, "API_PORT")
    assert holder(port) is None


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        pytest.param({}, Settings(3000, 9200), id="defaults"),
        pytest.param(
            {"API_PORT": "", "OPENSEARCH_PORT": "", "OPENSEARCH_URL": ""},
            Settings(3000, 9200),
            id="an empty variable counts as unset",
        ),
        pytest.param(
            {"API_PORT": "8080", "OPENSEARCH_PORT": "9210"}, Settings(8080, 9210), id="ports"
        ),
        pytest.param(
            {"API_PORT": "1024", "OPENSEARCH_PORT": "9299"},
            Settings(1024, 9299),
            id="the lowest and the highest port",
        ),
        pytest.param(
            {"OPENSEARCH_URL": "http://a:9200/"},
            Settings(3000, 9200, "http://a:9200"),
            id="a server that already runs",
        ),
        pytest.param(
            {"API_PORT": "3001", "PAGE_PORT": "3000"},
            Settings(3001, 9200, page_port=3000),
            id="the page's port",
        ),
        pytest.param(
            {"LOG_TEXT": "false"}, Settings(3000, 9200, None, "false"), id="no text in the log"
        ),
        pytest.param(
            {"KEEP": "/nowhere/kept"},
            Settings(3000, 9200, keep="/nowhere/kept"),
            id="documents are kept",
        ),
        pytest.param({"PORT": "1", "HOME": "/root"}, Settings(3000, 9200), id="other variables"),
    ],
)
def test_environment_variables_are_read_as_settings(
    environment: dict[str, str], settings: Settings
) -> None:
    assert Settings.of(environment) == settings


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            {"KEEP": "a", "OPENSEARCH_URL": "http://a:9200"},
            "but OPENSEARCH_URL names your own server: unset one of the two",
        ),
        ({"KEEP": __file__}, "KEEP must be a folder"),
    ],
)
def test_a_wrong_folder_for_documents_is_refused(environment: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Settings.of(environment)


def test_equal_ports_are_refused() -> None:
    with pytest.raises(UserError, match="API_PORT, OPENSEARCH_PORT, PAGE_PORT must be different"):
        Settings.of({"API_PORT": "3001", "PAGE_PORT": "3001"})


@pytest.mark.parametrize("name", ["API_PORT", "OPENSEARCH_PORT", "PAGE_PORT"])
@pytest.mark.parametrize(
    "value",
    [
        "0",
        "80",
        "1023",
        "65536",
        "-1",
        "3000.0",
        "0x1000",
        " 3000",
        "http",
        "²",
        pytest.param("9" * 5000, id="5000 digits"),
    ],
)
def test_an_invalid_port_is_refused(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be a port between 1024 and "):
        Settings.of({name: value})
