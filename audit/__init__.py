"""Write an SBOM of each deployed package, and find known vulnerabilities in the pinned packages."""
