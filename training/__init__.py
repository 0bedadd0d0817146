"""Training: from a folder of images to a certified checkpoint.

A `recipe` says what is trained, `trainer` trains it, `export` fits the profile and writes the checkpoint, `calibration`
certifies operating points, `evaluation` measures. `detection` has the same for detectors.
"""
