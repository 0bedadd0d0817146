"""The documentation as a site: `make docs` generates reference pages from the code and adapts links."""
