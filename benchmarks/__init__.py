"""Simulated links, the demo, load tests, sweeps with their report, and baselines to compare with."""
