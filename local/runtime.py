"""Run a function under AWS's Runtime Interface Emulator, which has the real runtime loop.

Invocations run one at a time.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import requests

from local import processes
from local.template import Function
from tools.errors import UserError
from tools.ports import free_ports

EMULATORS: Final = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}
INVOKE: Final = "2015-03-31/functions/function/invocations"


class FunctionFailed(Exception):
    """The invocation ended with a function error of the type `kind`, with the message `said`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.said = message


class Runtime:
    """A running function.

    Several threads may call `invoke`; the calls run one after the other, as in one Lambda instance.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, timeout: int) -> None:
        self._process = process
        self._url = url
        self._timeout = timeout
        self._alone = threading.Lock()

    @property
    def group(self) -> int:
        """The emulator's process group. Its number is also the session id of the function."""
        return self._process.pid

    def alive(self) -> bool:
        """Return whether the function's process is still running."""
        return self._process.poll() is None

    def invoke(self, event: Any) -> Any:
        """Invoke the function with `event`, and return its answer.

        Raises `FunctionFailed` if the function raises, takes too long or crashes.
        """
        with self._alone:
            try:
                # The first invocation includes the initialisation, so it may take 30 s more.
                answer = requests.post(
                    f"{self._url}/{INVOKE}", data=_payload(event), timeout=self._timeout + 30
                )
            except requests.RequestException as problem:
                raise FunctionFailed("Runtime.Unreachable", str(problem)) from problem
        try:
            result = answer.json()
        except requests.JSONDecodeError:
            raise FunctionFailed(
                "Sandbox.Timedout" if answer.ok else "Runtime.ExitError", answer.text.strip()
            ) from None
        if isinstance(result, dict) and "errorType" in result:
            raise FunctionFailed(result["errorType"], result.get("errorMessage", ""))
        return result


def _payload(event: Any) -> bytes:
    """Return the event as AWS sends it: JSON in UTF-8. Only a lone surrogate is escaped.

    Escapes would make the event larger than it is on AWS.
    """
    return json.dumps(event, ensure_ascii=False).encode(errors="backslashreplace")


@contextmanager
def running(
    function: Function,
    settings: dict[str, str],
    line: Callable[[str], None],
    *,
    code: Path | None = None,
    packages: Path | None = None,
) -> Iterator[Runtime]:
    """Run `function` with the environment variables of the template and of `settings`.

    If both have a variable, the value in `settings` is used. `line` is called with each output
    line. `code` is the folder of the function's code, by default its source. `packages` is the
    folder of its dependencies, by default the virtual environment in which this code runs.
    """
    code = code or function.code
    packages = packages or find_package("awslambdaric").parent
    port, api_port = free_ports(2)
    environment = {
        # The variables that Lambda sets, from AWS's list of reserved variables. Without
        # AWS_EXECUTION_ENV, the runtime's client writes all characters outside ASCII as escapes,
        # and answers become larger than on AWS.
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": f"{code}:{packages}",
        "PYTHONUNBUFFERED": "1",
        "LAMBDA_TASK_ROOT": str(code),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",  # boto3 reads this variable
        "_HANDLER": function.handler,
        **function.environment,
        **settings,
    }
    command = [
        str(_emulator()),
        "--log-level",
        "error",
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{port}",
    ]
    # With -S, Python imports modules only from PYTHONPATH. The virtual environment in which this
    # code runs is left out, unless PYTHONPATH names it.
    command += [
        "--runtime-api-address",
        f"127.0.0.1:{api_port}",
        sys.executable,
        "-S",
        "-m",
        "awslambdaric",
        function.handler,
    ]
    with processes.running(
        command, environment=environment, folder=code, output=subprocess.PIPE
    ) as process:
        reader = threading.Thread(target=_read, args=(process, line), daemon=True)
        reader.start()
        _wait(process, port, function.name)
        yield Runtime(process, f"http://127.0.0.1:{port}", function.timeout)
    reader.join(5)


def find_package(name: str) -> Path:
    """Find the folder of an installed package without importing the package."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise UserError(
            f"the package {name} is not installed: run this through make, which sets up the "
            "environment"
        )
    return Path(spec.origin).parent


def _emulator() -> Path:
    name = EMULATORS.get(platform.machine())
    if platform.system() != "Linux" or name is None:
        raise UserError(
            "the Lambda runtime emulator exists for Linux on x86_64 and arm64 only: "
            "run this in a Linux machine or container"
        )
    path = find_package("samcli") / "local" / "rapid" / name
    if not path.stat().st_mode & 0o100:
        path.chmod(path.stat().st_mode | 0o111)
    return path


def _read(process: subprocess.Popen[bytes], line: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for raw in process.stdout:
            text = raw.decode(errors="replace").rstrip("\r\n")
            if text:
                line(text)


def _wait(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"http://127.0.0.1:{port}/ping", timeout=1)
            return
        except requests.RequestException:
            time.sleep(0.05)
    raise UserError(f"the runtime emulator of {name} did not start")
