"""The event store: the `eventsourcing` library's recorders under our mapper, and the states that decisions need."""
