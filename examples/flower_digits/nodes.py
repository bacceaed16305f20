"""The two sides of the app, which Flower's commands start."""

from digits_app import federation

from fedlearn_lib.engines.flower import client_app, server_app

client = client_app(federation)
server = server_app(federation)
