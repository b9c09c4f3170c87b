from tests.servers.fixtures import aws_environment
from tests.servers.staged import stage

__all__ = ["aws_environment", "stage"]
