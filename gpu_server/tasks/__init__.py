"""Tasks, classification and detection: how a network's row becomes an answer, and when more layers are asked for."""
