"""The transport HTTP: the REST API, the live page, and the administrators' port."""
