"""`overtone describe`: what the server sees of an image at each stage, and what every channel costs."""
