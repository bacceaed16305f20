"""Slides of a chapter: what becomes a slide (rules.py), and how a deck is written (deck.py)."""
