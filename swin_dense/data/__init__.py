"""Read images, label maps and videos from files; messages about bad data."""
