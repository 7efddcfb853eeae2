"""What action recognition needs beyond its host."""
