"""Campaigns cross from an old application to V1, to V2 and back, while everything happens that may."""
