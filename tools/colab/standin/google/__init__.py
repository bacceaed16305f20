"""A stand-in for the package that only Colab's machines have; see tools/run_colab.py."""
