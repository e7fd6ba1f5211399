"""Tables of a report, one topic a file."""
