"""The commands behind the Makefile. They are no part of the library and are not installed."""
