"""What a model is for: how a network's result becomes an answer, and when more is asked for."""
