"""What is true and what may happen: pure rules, no I/O and no clock."""
