"""The service over HTTP: the REST API, the live page, and what operators use."""
