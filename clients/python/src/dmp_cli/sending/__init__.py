"""Files as events: reading them, remembering how far they are, sending them."""
