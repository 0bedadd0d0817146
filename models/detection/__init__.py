"""Detectors: boxes and masks of objects from DCT coefficients, built on torchvision's Mask R-CNN.

Importing the package makes torchvision's operators available where its own binaries do not load.
"""

from overtone.models.detection.operators import register_operators

register_operators()
