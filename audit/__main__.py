"""Write an SBOM of each deployed package into sbom/, then look for known vulnerabilities.

An SBOM lists the parts of a package. `make audit` runs this module. It looks up the pinned packages
in a public list of vulnerabilities.
"""

from __future__ import annotations

import argparse
import sys

from audit import sbom, vulnerabilities
from tools.errors import UserError
from tools.root import ROOT


def main() -> int:
    """Exit code: 1 if the audit fails, 2 if some packages could not be audited, otherwise 0."""
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
