"""What the packages are made of (`sbom`), and whether something is known to be wrong with it (`vulnerabilities`)."""
