"""Generate data sets: images of shapes, and clips of moving shapes."""
