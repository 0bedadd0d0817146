"""`overtone bench sweep`: measurements over links, policies and qualities, and their report."""
