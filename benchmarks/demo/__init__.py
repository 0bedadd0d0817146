"""`overtone demo`: server, link and device on one machine."""
