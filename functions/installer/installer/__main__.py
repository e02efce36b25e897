"""`python -m installer install|status|remove|export|render`: one command in place of clicks in Kibana.

Exit 0 when everything is as it should be, 1 with one sentence when something is not, 2 for wrong arguments, 130 after Ctrl-C.
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
from installer.dashboards import GLOBAL
from installer.install import DesiredState, desired_state, export, install, remove, status
from installer.objects import FOLDER, saved_objects
from installer.plain import plain
from installer.retention import Keep, days
from installer.scope import PREFIX, Scope, index_prefix, stack_name
from installer.security import ROLES, role_arn
from installer.server import UserError

PROGRAM: Final = "python -m installer"
ADDRESSES: Final = """\
Either address may be left out, and with it that half: index template, retention policy and roles are OpenSearch's, saved objects are
Dashboards'. On an Amazon domain --dashboards is known from --opensearch. Requests to an Amazon domain are signed with AWS credentials,
found as by the AWS CLI, unless a user is given: --user, or https://NAME:PASSWORD@HOST."""
INSTALL: Final = f"""\
Installs missing objects and replaces those that differ from their files; a second run changes nothing. A saved object that somebody
changed by hand is kept and named, unless --overwrite is given, and so is a policy with other states. Template and roles are always
written as their files say.
Without --retention-days no index is deleted, unless a policy is there, which keeps its own days; indices that are there and follow
no policy come under it only with --adopt. Every run says how many indices are deleted, and from which day on, before it does it.
Ends with links to share, the short ones where the server makes them. {ADDRESSES}"""
STATUS: Final = f"Says of each object whether it is installed, missing or changed. Exit 1 unless all are installed. {ADDRESSES}"
REMOVE: Final = f"""\
Removes saved objects, index template, retention policy, and the roles named by options; never an index or a document. An object that
somebody changed by hand is kept, with the objects that it refers to, unless --overwrite is given. An object that somebody else's
dashboard shows is kept unless --force is given. If another stack uses the prefix, template and policy stay. Short links stay, and lead
nowhere. {ADDRESSES}"""
LEFT_OUT: Final = "left out, because no address of {} is given"
EXPORT: Final = """\
Prints index pattern, searches, panels and dashboards as one file (.ndjson), to import by hand where only people may sign in."""
RENDER: Final = """\
Writes every body that install would send to an empty domain into files: index template, retention policy, roles and their mapping, saved
objects. requests.json says where each goes. So an administrator reviews them, or applies them in another way, and no secret of an
administrator's is given to a function. Asks no server."""
ENVIRONMENT: Final = f"""\
environment: {PASSWORD} is the password of --user, or of a name that stands in an address without one; OPENSEARCH_URL stands for
--opensearch where that is not given."""


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Run a command with the saved objects in `folder`. Returns the exit code; wrong arguments end the process with code 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "export":
        return export_command(options, folder)
    if options.command == "render":
        return render_command(options, folder)
    if not (options.opensearch or options.dashboards):
        parser.error("nothing to do without --opensearch and --dashboards: give one of them, or both")
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        _complain("stopped, because the output was closed: run this again")
        return 1
    except UserError as problem:
        _complain(str(problem))
        return 1
    return code


def install_command(options: argparse.Namespace, asked: DesiredState) -> int:
    """`install`."""
    kept = install(asked, overwrite=options.overwrite, dry_run=options.dry_run, say=_say)
    if asked.dashboards and not options.dry_run:
        short = asked.dashboards.short_links(asked.objects)
        for title, link in asked.links.items():
            print(f"\n{plain(title)}\n  {plain(link)}" + (f"\n  {plain(short[title])}" if title in short else ""))
    return _exit_code(kept, "replaces")


def status_command(options: argparse.Namespace, asked: DesiredState) -> int:
    """`status`."""
    return 0 if status(asked, say=_say) else 1


def remove_command(options: argparse.Namespace, asked: DesiredState) -> int:
    """`remove`."""
    kept = remove(asked, overwrite=options.overwrite, force=options.force, dry_run=options.dry_run, say=_say)
    return _exit_code(kept.by_hand, "removes")


def export_command(options: argparse.Namespace, folder: Path) -> int:
    """`export`."""
    sys.stdout.buffer.write(export(saved_objects(folder), _scope(options), options.log_group or []))
    return 0


def render_command(options: argparse.Namespace, folder: Path) -> int:
    """`render`."""
    found = render.requests(
        saved_objects(folder),
        Scope(options.index_prefix, options.stack or "", former=False),
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
        _complain(f"changed by hand, and kept: {', '.join(kept)}: --overwrite {verb} {'it' if len(kept) == 1 else 'them'}")
    return 1 if kept else 0


def _desired_state(options: argparse.Namespace, folder: Path) -> DesiredState:
    """The desired state from the options. Raises `UserError`."""
    return desired_state(
        saved_objects(folder),
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


def _roles(options: argparse.Namespace) -> dict[str, list[str]]:
    return {kind: arns for kind in ROLES if (arns := getattr(options, f"{kind}_role"))}


def _scope(options: argparse.Namespace) -> Scope:
    return Scope(options.index_prefix, options.stack or "", former=not options.stack)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description="Install index template, retention, roles and dashboards.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, short, description in (
        ("install", install_command, "install missing or changed objects", INSTALL),
        ("status", status_command, "say what is installed, missing or changed", STATUS),
        ("remove", remove_command, "remove what was installed", REMOVE),
    ):
        command = commands.add_parser(name, help=short, description=description, epilog=ENVIRONMENT)
        command.set_defaults(run=run)
        add = command.add_argument
        add("--opensearch", metavar="URL", default=os.environ.get("OPENSEARCH_URL"), help="the address of OpenSearch")
        add("--dashboards", metavar="URL", help="the address of OpenSearch Dashboards or Kibana")
        add("--base-path", metavar="P", help="the path below which it serves (none; on an Amazon domain /_dashboards)")
        add("--tenant", metavar="T", default=GLOBAL, help="the tenant that the saved objects belong to (%(default)s)")
        add("--no-dashboards", action="store_true", help="leave Dashboards and its saved objects out")
        add("--sign", metavar="REGION", help="sign with AWS credentials where an Amazon domain has a name of your own")
        add("--user", metavar="NAME", help=f"sign in with this name, and the password in {PASSWORD}")
        _whose(command)
        _what(command)
        add("--wait", type=value(_seconds), default=60.0, metavar="SECONDS", help="for a server that is starting (%(default)g)")
        if name != "remove":
            _audited(command)
        if name == "install":
            add("--adopt", action="store_true", help="put indices that follow no policy under the retention policy too")
        if name == "remove":
            add("--force", action="store_true", help="also objects that somebody else's dashboard shows")
        if name != "status":
            add("--overwrite", action="store_true", help="also objects that were changed by hand")
            add("--dry-run", action="store_true", help="only say what would be done")
    command = commands.add_parser("export", help="print the saved objects as a file to import by hand", description=EXPORT)
    _whose(command)
    command = commands.add_parser("render", help="write every body that install would send into a folder", description=RENDER)
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder for the files")
    _whose(command)
    _what(command)
    _audited(command)
    return parser


def _what(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--retention-days",
        type=value(days),
        metavar="N",
        help="days after which an index is deleted (as a policy that is there says, else never)",
    )
    add(
        "--shipper-role",
        action="append",
        type=value(role_arn),
        metavar="ARN",
        help="role of IAM that may write documents; several times for more",
    )
    add(
        "--monitor-role",
        action="append",
        type=value(role_arn),
        metavar="ARN",
        help="role of IAM that may search documents; several times for more",
    )


def _audited(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--audit-log", action="store_true", help="switch OpenSearch's audit log on as well, without the bodies of requests"
    )


def _whose(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--index-prefix",
        type=value(index_prefix),
        default=PREFIX,
        metavar="P",
        help="prefix of the daily indices, which template and retention belong to (%(default)s)",
    )
    add(
        "--stack",
        type=value(stack_name),
        metavar="NAME",
        help="the stack that roles and saved objects belong to, beside others in the domain",
    )
    add(
        "--log-group",
        action="append",
        metavar="NAME",
        help="log group whose documents below the prefix are yours; several times for more",
    )


def _seconds(text: str) -> float:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number of seconds: give a whole number from 0")
    return float(text)


def _say(sentence: str) -> None:
    print(plain(sentence))


def _complain(sentence: str) -> None:
    print(f"{PROGRAM}: {plain(sentence)}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
