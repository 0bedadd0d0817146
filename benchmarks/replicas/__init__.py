"""`overtone bench replicas`: two servers behind nginx, which are killed in turn while devices use them."""
