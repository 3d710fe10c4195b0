"""Measures one model on one device; knows no network."""
