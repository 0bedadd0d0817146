"""A server on a Ray cluster: a face on every node, and engines on nodes that have room for them.

A face is a front-end process, a whole server without networks: it has sessions, REST, decoding and queues, and forms
batches. An engine is a process with networks, which runs the batches of all faces. Both are deployments of Ray Serve,
which restarts replicas that have ended, and adds engines under load. Only `application`, `nodes` and `serve` import
Ray.
"""
