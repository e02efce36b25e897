"""Reads the settings from the environment, and checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shipper.document import Rules
from shipper.field_map import FieldMap, field_map
from shipper.index_prefix import PREFIX, index_prefix
from shipper.read import Kind
from shipper.redact import Action, Redaction
from shipper.redaction_patterns import PATTERNS

MEBIBYTE = 1024 * 1024
DIGITS = 18  # a size has at most this many digits, so it fits into 64 bits


@dataclass(frozen=True, slots=True)
class Settings:
    """The shipper's settings.

    `max_payload_bytes` limits the size of an inflated payload. `own_log_group` is the log group of
    the shipper itself, which is never shipped.
    """

    opensearch_url: str
    max_payload_bytes: int
    rules: Rules
    own_log_group: str | None


def settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from `environment`.

    Raises `ValueError` with the name of the variable and its valid values. A list is a text with
    commas between its elements.

    - `OPENSEARCH_URL`: an http(s) address.
    - `MAX_PAYLOAD_BYTES`: the size limit of an inflated payload; 128 MiB by default.
    - `EXCLUDE`: a list of the kinds of line that are not shipped: `platform`, `metrics`, `object`,
      `text`.
    - `REDACT_FIELDS`: a list of `name=drop` or `name=hash`, where `name` is a field's name or the
      end of its dotted path.
    - `REDACT_PATTERNS`: a list of the patterns to mask: `email`, `number`.
    - `REDACT_KEY`: the secret key of the hashes, required if a field is hashed. Without this key,
      no `input.hash` is added.
    - `STACK`: the value of each document's `@stack`. Without it, documents have no `@stack`.
    - `INDEX_PREFIX`: the beginning of each index's name; `cwl-` by default.
    - `RECORD_LOG_GROUPS`: a list of log groups with trusted records.
    - `FIELD_MAP`: a list of `target=name`. The field `name` of the user's lines becomes the field
      `target` of a prediction (shipper.field_map).
    """
    size = environment.get("MAX_PAYLOAD_BYTES") or str(128 * MEBIBYTE)
    if not (size.isascii() and size.isdigit() and len(size) <= DIGITS and int(size)):
        raise ValueError(f"MAX_PAYLOAD_BYTES must be a number of bytes, not {size!r}")
    if not environment.get("OPENSEARCH_URL"):
        raise ValueError("OPENSEARCH_URL must be set to the address of OpenSearch")
    exclude = _words(environment, "EXCLUDE", {kind.value for kind in Kind})
    names = field_map(environment.get("FIELD_MAP", ""))
    return Settings(
        environment["OPENSEARCH_URL"],
        int(size),
        Rules(
            frozenset(map(Kind, exclude)),
            _redaction(environment, names),
            environment.get("STACK", ""),
            index_prefix(environment.get("INDEX_PREFIX") or PREFIX, "INDEX_PREFIX"),
            frozenset(_words(environment, "RECORD_LOG_GROUPS")),
            names,
            environment.get("REDACT_KEY", "").encode(),
        ),
        environment.get("AWS_LAMBDA_LOG_GROUP_NAME"),
    )


def _redaction(environment: Mapping[str, str], names: FieldMap) -> Redaction | None:
    fields: dict[str, Action] = {}
    for rule in _words(environment, "REDACT_FIELDS"):
        name, _, action = rule.partition("=")
        if not name or action not in {"drop", "hash"}:
            raise ValueError(
                "REDACT_FIELDS must be a comma-separated list of name=drop or name=hash, "
                f"but it contains {rule!r}"
            )
        fields[name] = "drop" if action == "drop" else "hash"
    patterns = _words(environment, "REDACT_PATTERNS", set(PATTERNS))
    key = environment.get("REDACT_KEY", "")
    if "hash" in fields.values() and not key:
        raise ValueError("REDACT_KEY must be set if REDACT_FIELDS hashes a field")
    if not (fields or patterns):
        return None
    found = Redaction(fields, tuple(patterns), key.encode())
    # A rule may name a target of FIELD_MAP, such as `text`. In the line, the field still has the
    # user's own name, such as `input`. So the rule is added for `input` too.
    for target, path in names.items():
        done = found.action(target)
        if done:
            fields[".".join(path)] = done
    return replace(found, fields=fields)


def _words(environment: Mapping[str, str], name: str, known: set[str] | None = None) -> list[str]:
    words = [word.strip() for word in environment.get(name, "").split(",") if word.strip()]
    for word in words:
        if known is not None and word not in known:
            raise ValueError(
                f"{name} must be a comma-separated list of {', '.join(sorted(known))}, "
                f"but it contains {word!r}"
            )
    return words
