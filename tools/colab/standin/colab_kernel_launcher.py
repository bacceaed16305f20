"""Start a kernel as Colab does: with its own package imported before the first cell."""

import google.colab.output  # noqa: F401  figures look for it among the loaded modules
from ipykernel import kernelapp

if __name__ == "__main__":
    kernelapp.launch_new_instance()
