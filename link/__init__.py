"""Simulated thin links: a TCP relay with a rate, a round trip, jitter and outages, which counts bytes."""

from overtone.link.link import Link as Link
