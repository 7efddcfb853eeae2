"""Reading anybody's checkpoints of Swin models: pure functions and a report.

`load` reads and checks, `formats` knows the sources' names, `transfer` what
depends on the window.
"""
