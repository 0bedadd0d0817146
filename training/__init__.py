"""From a folder of images to a certified checkpoint."""
