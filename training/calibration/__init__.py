"""Calibration: temperatures, operating points with certificates, and simulations that test the guarantees."""
