"""The same algorithms on more than one process; the rest of the library imports nothing of it.

``fedlearn_lib.engines.torch_dist`` needs only torch; ``fedlearn_lib.engines.flower`` needs Flower.
"""
