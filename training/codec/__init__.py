"""The parts of a profile that are fitted to data: tables of the entropy coder, steps, dead zones."""
