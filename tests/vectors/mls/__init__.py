"""Runners for each kind of the official MLS vectors, one module per part of the RFC."""
