"""One module per decoder. See `fuzz` for what it holds."""
