"""Which models a server has: versions, candidates, and what is counted of each."""
