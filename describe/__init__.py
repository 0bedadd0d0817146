"""`overtone describe`: an image as a server decodes it from each layer, and the bits that every channel takes."""
