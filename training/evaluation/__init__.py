"""What a checkpoint reaches on labelled images."""
