"""Results as read from a store."""
