"""A server on a Ray cluster: a face on every node, and engines wherever there is room for them.

A face is a whole server but for its network: it has sessions, REST, decoding and queues, and forms batches. An engine
runs batches of all faces. Both are deployments of Ray Serve, which starts again what has ended, and has more engines
under load. Only `application`, `nodes` and `serve` import Ray.
"""
