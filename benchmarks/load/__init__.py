"""Load tests: a fleet of simulated devices, driven by locust and by sweeps."""
