"""Temperatures, operating points with their certificates, and tests of what these guarantee."""
