"""Evaluation: accuracy, bytes, cost and reliability of a checkpoint on labelled images."""
