"""Overtone's networks behind other model servers, each written as its documentation advises."""
