"""Measuring Overtone: simulated links, load, rivals, reports."""
