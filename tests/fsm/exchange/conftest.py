from tests.servers.fixtures import aws_environment, server

__all__ = ["aws_environment", "server"]
