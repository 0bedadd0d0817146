"""Load: a fleet of simulated devices, which locust and sweeps drive."""
