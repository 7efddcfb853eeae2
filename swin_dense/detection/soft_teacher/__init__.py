"""Soft Teacher: detectors that also learn from images without labels."""
