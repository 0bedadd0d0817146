"""Training, calibration and evaluation of detectors, on pictures with annotated boxes and masks."""
