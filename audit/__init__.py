"""Write an SBOM of each deployed package, and find known vulnerabilities of the pinned packages."""
