"""Experiments that reproduce the two papers. Run from a clone, as `python -m experiments.NAME`; not installed."""
