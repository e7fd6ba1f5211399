"""One model on every runtime of this machine."""
