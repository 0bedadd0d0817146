"""`overtone bench cluster`: a Ray cluster of several nodes on this machine, loaded, and robbed of a node."""
