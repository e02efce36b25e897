from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.bulk_server import sink
from bench.lines import Printed
from bench.payloads import CONSOLE, FLOOR, HANDLER, SIGNED, payloads, tree
from tools.errors import UserError
from tools.root import ROOT

LOG = Printed(
    [
        (
            '{"message":"prediction","record_version":1,"text":"so it goes",'
            '"prediction":{"label":"a","score":0.5}}\n'
        ),
    ],
    [],
)
# A function like the one that the console generates. It reports its result to the context, and
# sends its requests to an Amazon domain.
FUNCTION = """
const https = require("https");
const zlib = require("zlib");
exports.handler = function (input, context) {
  const payload = JSON.parse(zlib.gunzipSync(Buffer.from(input.awslogs.data, "base64")));
  const action = (each) => `{"index":{"_index":"a","_id":"${each.id}"}}`;
  const lines = payload.logEvents.map((each) => `${action(each)}\\n${JSON.stringify(each)}\\n`);
  const host = "search-x.us-east-1.es.amazonaws.com";
  const settings = { host, method: "POST", path: "/_bulk", headers: { Host: "search-x" } };
  const request = https.request(settings, (response) => {
    let body = "";
    response.on("data", (block) => (body += block));
    response.on("end", () => {
      const taken = JSON.parse(body).items.length === payload.logEvents.length;
      console.log("taken");
      taken ? context.succeed("Success") : context.fail(body);
    });
  });
  request.on("error", (error) => context.fail(error));
  const body = lines.join("");
  request.setHeader("Content-Length", Buffer.byteLength(body));
  request.end(body);
};
"""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def url() -> Iterator[str]:
    with sink() as address:
        yield address


def ticks(_name: str, _rounds: int) -> object:
    return lambda: None


@pytest.mark.skipif(
    not shutil.which("node"),
    reason="the console's function is JavaScript, and node is not installed",
)
def test_an_invocation_is_compared_with_other_programs(url: str, tmp_path: Path) -> None:
    console = tmp_path / "function.js"
    console.write_text(FUNCTION, encoding="utf-8")
    rows = list(payloads(LOG, url, {1: 1, 3: 1}, ticks, console, "HEAD"))  # type: ignore[arg-type]
    old = f"{HANDLER} of HEAD"
    pairs = [
        f"{HANDLER} / {FLOOR}",
        f"{HANDLER} / {old}",
        f"quickest: {HANDLER} / {old}",
        f"{SIGNED} / {CONSOLE}",
    ]
    titles = ["an invocation, 1 record", "an invocation, 3 records"]
    expected = [
        f"{title}{', ' if pair.startswith('quickest') else ': '}{pair}"
        for title in titles
        for pair in pairs
    ]
    assert [row.name for row in rows] == [*expected, "log of an invocation"]
    assert all(row.value > 0 and row.ratio and row.rival_value for row in rows)
    assert rows[-1].value == pytest.approx(rows[-1].rival_value, abs=20), (
        "HEAD has the same code, except for uncommitted changes"
    )
    worktrees = subprocess.run(
        ("git", "-C", str(ROOT), "worktree", "list"), stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert "/bench-" not in worktrees


def test_a_commit_that_git_does_not_know_is_reported() -> None:
    with pytest.raises(UserError, match="no-such-commit"), tree("no-such-commit"):
        pass
