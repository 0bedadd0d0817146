"""Simulated thin links: TCP relays with a rate, a round trip, jitter and outages, which count bytes."""

from overtone.link.link import Link as Link
