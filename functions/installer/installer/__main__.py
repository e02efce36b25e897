"""The command line `python -m installer install|status|remove|export|render`.

The exit code is 0 on success, 1 after a problem, 2 for wrong arguments, and 130 after Ctrl-C. A
problem is reported in one sentence.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from installer import render
from installer.address import PASSWORD
from installer.arguments import Parser, value
from installer.dashboards_api import GLOBAL
from installer.index_prefix import PREFIX, index_prefix
from installer.install import DesiredState, desired_state, export, install, remove, status
from installer.label_colours import coloured, labels
from installer.prefix_and_stack import Scope, stack_name
from installer.printable import plain
from installer.retention import Keep, days
from installer.saved_objects import FOLDER, SavedObject, saved_objects
from installer.security import ROLES, role_arn
from installer.server import UserError

PROGRAM: Final = "python -m installer"
ADDRESSES: Final = """\
Give --opensearch, --dashboards, or both. Index template, retention policy and roles are sent to
--opensearch. Saved objects are sent to --dashboards. For an Amazon domain, the address of
Dashboards is derived from --opensearch.
Requests to an Amazon domain are signed with the AWS credentials that the AWS CLI would use, unless
you give a user (--user, or https://NAME:PASSWORD@HOST)."""
INSTALL: Final = f"""\
Installs missing objects, and replaces objects that differ from their files. A second run changes
nothing. Without --overwrite, the command keeps saved objects that somebody changed by hand, and a
retention policy with changed states. The output lists the kept parts. Index template and roles are
always replaced. Without --retention-days no retention policy is installed, but an existing policy
keeps its days. Existing indices that follow no policy get the retention policy only if you give
--adopt. Every run first says how many indices the retention policy will delete, and when the
deletion begins. Only then can the run change the policy. At the end, the command prints links to
share, and short links if the server makes them. {ADDRESSES}"""
STATUS: Final = f"""\
Says for each object whether it is installed, missing or changed. The exit code is 1 unless all
objects are installed. {ADDRESSES}"""
REMOVE: Final = f"""\
Removes saved objects, index template, retention policy, and the roles that you name by options. The
command never removes an index or a document. Without --overwrite, an object that somebody
changed by hand stays, and the objects to which it refers stay too. Without --force, an object stays
if another dashboard shows it. Index template and retention policy stay if another stack uses the
same index prefix. Short links always stay, but no longer work. {ADDRESSES}"""
LEFT_OUT: Final = "left out, because no address of {} is given"
EXPORT: Final = """\
Prints index pattern, searches, panels and dashboards as one file (.ndjson). Import the file by hand
if people sign in to Dashboards on a web page: no command can use that page."""
RENDER: Final = """\
Writes a file with the body of each request that install would send to an empty domain: index
template, retention policy, roles and their mapping, saved objects. requests.json lists the path of
each request. An administrator can review the files, or apply them in another way, so that no
function needs an administrator's secret. The command contacts no server."""
ENVIRONMENT: Final = f"""\
environment: {PASSWORD} is the user's password, unless the address contains a password.
OPENSEARCH_URL is the default of --opensearch."""


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Run a command with the saved objects in `folder`.

    Returns the exit code; wrong arguments end the process with code 2.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "export":
        return export_command(options, folder)
    if options.command == "render":
        return render_command(options, folder)
    if not (options.opensearch or options.dashboards):
        parser.error(
            "nothing to do without --opensearch and --dashboards: give one of them, or both"
        )
    if not options.opensearch:
        _say(f"index template, retention and roles: {LEFT_OUT.format('OpenSearch')}")
    try:
        asked = _desired_state(options, folder)
        if not asked.dashboards:
            _say(f"saved objects: {LEFT_OUT.format('Dashboards')}")
        code: int = options.run(options, asked)
    except KeyboardInterrupt:
        _complain("stopped by Ctrl-C: status shows what is installed")
        return 130
    except BrokenPipeError:
        # Without the next line, Python reports the broken pipe once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _complain("stopped, because the output was closed: run this again")
        return 1
    except UserError as problem:
        _complain(str(problem))
        return 1
    return code


def install_command(options: argparse.Namespace, asked: DesiredState) -> int:
    """Run `install`."""
    kept = install(asked, overwrite=options.overwrite, dry_run=options.dry_run, say=_say)
    if asked.dashboards and not options.dry_run:
        short = asked.dashboards.short_links(asked.objects)
        for title, link in asked.links.items():
            print(
                f"\n{plain(title)}\n  {plain(link)}"
                + (f"\n  {plain(short[title])}" if title in short else "")
            )
    return _exit_code(kept, "replaces")


def status_command(options: argparse.Namespace, asked: DesiredState) -> int:
    """Run `status`."""
    return 0 if status(asked, say=_say) else 1


def remove_command(options: argparse.Namespace, asked: DesiredState) -> int:
    """Run `remove`."""
    kept = remove(
        asked, overwrite=options.overwrite, force=options.force, dry_run=options.dry_run, say=_say
    )
    return _exit_code(kept.by_hand, "removes")


def export_command(options: argparse.Namespace, folder: Path) -> int:
    """Run `export`."""
    objects = _objects(options, folder)
    sys.stdout.buffer.write(export(objects, _scope(options), options.log_group or []))
    return 0


def render_command(options: argparse.Namespace, folder: Path) -> int:
    """Run `render`."""
    found = render.requests(
        _objects(options, folder),
        _scope(options),
        days=options.retention_days,
        roles=_roles(options),
        groups=options.log_group or [],
        audit_log=options.audit_log,
    )
    try:
        names = render.write(list(found), options.out)
    except UserError as problem:
        _complain(str(problem))
        return 1
    _say(f"{options.out}: {', '.join(names)}")
    return 0


def _exit_code(kept: Sequence[str], verb: str) -> int:
    if kept:
        _complain(
            f"changed by hand, and kept: {', '.join(kept)} "
            f"(--overwrite {verb} {'it' if len(kept) == 1 else 'them'})"
        )
    return 1 if kept else 0


def _desired_state(options: argparse.Namespace, folder: Path) -> DesiredState:
    """Build the desired state from the options. Raises `UserError`."""
    return desired_state(
        _objects(options, folder),
        opensearch=options.opensearch,
        dashboards=options.dashboards,
        base_path=options.base_path,
        tenant=options.tenant,
        user=options.user,
        password=os.environ.get(PASSWORD),
        region=options.sign,
        without_dashboards=options.no_dashboards,
        scope=_scope(options),
        keep=Keep(options.retention_days, adopt=getattr(options, "adopt", False)),
        roles=_roles(options),
        groups=options.log_group or [],
        audit_log=getattr(options, "audit_log", False),
        wait=options.wait,
        say=_complain,
    )


def _objects(options: argparse.Namespace, folder: Path) -> list[SavedObject]:
    return [coloured(one, options.labels) for one in saved_objects(folder)]


def _roles(options: argparse.Namespace) -> dict[str, list[str]]:
    return {kind: arns for kind in ROLES if (arns := getattr(options, f"{kind}_role"))}


def _scope(options: argparse.Namespace) -> Scope:
    return Scope(options.index_prefix, options.stack or "", former=not options.stack)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM, description="Install index template, retention, roles and dashboards."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, short, description in (
        ("install", install_command, "install missing or changed objects", INSTALL),
        ("status", status_command, "say what is installed, missing or changed", STATUS),
        ("remove", remove_command, "remove what was installed", REMOVE),
    ):
        command = commands.add_parser(name, help=short, description=description, epilog=ENVIRONMENT)
        command.set_defaults(run=run)
        add = command.add_argument
        add(
            "--opensearch",
            metavar="URL",
            default=os.environ.get("OPENSEARCH_URL"),
            help="the address of OpenSearch",
        )
        add("--dashboards", metavar="URL", help="the address of OpenSearch Dashboards or Kibana")
        add(
            "--base-path",
            metavar="P",
            help="base path of Dashboards (default: none; /_dashboards on an Amazon domain)",
        )
        add(
            "--tenant",
            metavar="T",
            default=GLOBAL,
            help="the tenant that the saved objects belong to (default: %(default)s)",
        )
        add(
            "--no-dashboards",
            action="store_true",
            help="leave out Dashboards and its saved objects",
        )
        add(
            "--sign",
            metavar="REGION",
            help="sign requests with AWS credentials; for the custom endpoint of an Amazon domain",
        )
        add(
            "--user", metavar="NAME", help=f"sign in with this name, and the password in {PASSWORD}"
        )
        _add_scope(command)
        _add_parts(command)
        add(
            "--wait",
            type=value(_seconds),
            default=60.0,
            metavar="SECONDS",
            help="time to wait for a server that is starting (default: %(default)g)",
        )
        if name != "remove":
            _add_audit_log(command)
        if name == "install":
            add(
                "--adopt",
                action="store_true",
                help="also apply the retention policy to existing indices that follow no policy",
            )
        if name == "remove":
            add(
                "--force",
                action="store_true",
                help="also remove objects that another dashboard shows",
            )
        if name != "status":
            verb = "replace" if name == "install" else "remove"
            add(
                "--overwrite",
                action="store_true",
                help=f"also {verb} objects that were changed by hand",
            )
            add("--dry-run", action="store_true", help="only say what would be done")
    command = commands.add_parser(
        "export", help="print the saved objects as a file to import by hand", description=EXPORT
    )
    _add_scope(command)
    command = commands.add_parser(
        "render",
        help="write the body of every request of install to a file in a folder",
        description=RENDER,
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="a new folder for the files"
    )
    _add_scope(command)
    _add_parts(command)
    _add_audit_log(command)
    return parser


def _add_parts(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--retention-days",
        type=value(days),
        metavar="N",
        help="days after which an index is deleted"
        " (default: the days of an existing policy, otherwise never)",
    )
    add(
        "--shipper-role",
        action="append",
        type=value(role_arn),
        metavar="ARN",
        help="IAM role that gets permission to write documents; repeat the option for more roles",
    )
    add(
        "--monitor-role",
        action="append",
        type=value(role_arn),
        metavar="ARN",
        help="IAM role that gets permission to search documents; repeat the option for more roles",
    )


def _add_audit_log(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--audit-log",
        action="store_true",
        help="also switch on OpenSearch's audit log, without the bodies of requests",
    )


def _add_scope(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--index-prefix",
        type=value(index_prefix),
        default=PREFIX,
        metavar="P",
        help="prefix of the daily indices to which template and retention apply"
        " (default: %(default)s)",
    )
    add(
        "--stack",
        type=value(stack_name),
        metavar="NAME",
        help="the stack that owns the roles and saved objects (if several stacks share the domain)",
    )
    add(
        "--log-group",
        action="append",
        metavar="NAME",
        help="a log group of yours; repeat the option for each group that already writes to indices"
        " with this prefix, otherwise install may refuse to begin",
    )
    add(
        "--labels",
        type=value(labels),
        default=(),
        metavar="NAMES",
        help="all labels of the model, separated by commas, or the path of its card.json;"
        " each label gets its own colour",
    )


def _seconds(text: str) -> float:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number of seconds: give a whole number, 0 or more")
    return float(text)


def _say(sentence: str) -> None:
    print(plain(sentence))


def _complain(sentence: str) -> None:
    print(f"{PROGRAM}: {plain(sentence)}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
