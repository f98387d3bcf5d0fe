"""Everything that touches the world: settings, event store, SMTP, senders, daemon, command line."""
