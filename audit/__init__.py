"""An SBOM of each deployed package (`sbom`), and known vulnerabilities of the pins (`vulnerabilities`)."""
