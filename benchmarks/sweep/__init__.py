"""Sweeps over links, policies and qualities, and their report."""
