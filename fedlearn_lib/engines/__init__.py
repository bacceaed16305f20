"""The same algorithms on more than one process; the rest of the library imports nothing of it.

``torch_dist`` needs only torch; ``flower`` needs Flower, and not before an app is made.
"""

from fedlearn_lib.engines.flower import Federation, client_app, round_generator, server_app
from fedlearn_lib.engines.torch_dist import Shard, all_reduced

__all__ = ["Federation", "Shard", "all_reduced", "client_app", "round_generator", "server_app"]
