"""What one bad neighbour does to others: attacks on a running server while an honest client classifies."""
