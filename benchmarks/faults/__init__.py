"""`overtone bench faults`: attacks on a running server, and how an honest client fares meanwhile."""
