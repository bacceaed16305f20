"""The shelf of the book: its interactive figures, its checkers of exercises, its long runs.

It may use :mod:`fedlearn_lib`; the library never uses it.
"""
