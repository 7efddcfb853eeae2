"""Images, label maps and videos as files, and words for their errors."""
