"""What a long run tells while it goes on: its state in a file, what its workers print, and how much disk it takes."""
