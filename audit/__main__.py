"""`make audit`: an SBOM of each deployed package in sbom/, then known vulnerabilities of the pins."""

from __future__ import annotations

import argparse
import sys

from audit import sbom, vulnerabilities
from tools.errors import UserError
from tools.root import ROOT


def main() -> int:
    """Exit 0 if no vulnerability is known, 1 if one is, 2 if the service could not be asked."""
    argparse.ArgumentParser(
        prog="python -m audit", description=__doc__, epilog=main.__doc__
    ).parse_args()
    try:
        for path in sbom.write(ROOT / "sbom"):
            print(f"{path.relative_to(ROOT)}: {sbom.summary(path)}")
        return vulnerabilities.check(vulnerabilities.locks(), vulnerabilities.ACCEPTED)
    except UserError as problem:
        print(f"make audit: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
