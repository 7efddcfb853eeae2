"""Generated data sets: scenes of shapes, and clips of their motions."""
