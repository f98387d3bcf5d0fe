"""Tests of the views, the projector and the kept tables, on real databases."""
