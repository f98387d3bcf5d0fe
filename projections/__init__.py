"""Read models rebuilt from the events, and the kept tables that a rebuild never touches."""
