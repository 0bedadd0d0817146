"""The documentation as a site: pages that are made from the code, and links that fit. `make docs` builds it."""
