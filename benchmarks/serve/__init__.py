"""`overtone bench serve`: the service beside the bare networks, and beside the same networks in other servers."""
