"""Thin links: rates, delays, loss and outages, checked against the kernel."""
