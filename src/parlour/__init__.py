"""Parlour: private rooms for text and voice that you host yourself."""

__version__ = "0.1.0"
