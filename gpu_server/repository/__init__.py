"""The models of a server: files and versions, traffic splits with canaries, shadows, and metrics by version."""
