"""A server under mixed load for as long as you like: does it grow, lose count, or stop slowly?"""
