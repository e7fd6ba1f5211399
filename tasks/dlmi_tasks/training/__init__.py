"""Training: loop, distortion and how weights start."""
