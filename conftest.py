"""What every test of the repository shares: limits that tell a hang from a busy machine."""

pytest_plugins = ["tools.patience"]
