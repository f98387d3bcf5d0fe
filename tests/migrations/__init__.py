"""Tests of the schema: what the revisions make, and what the table of events refuses."""
