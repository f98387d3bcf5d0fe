"""The old application: its database is read, and never changed but for one flag."""
