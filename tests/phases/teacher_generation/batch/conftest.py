from tests.servers.fixtures import aws_environment, s3, server

__all__ = ["aws_environment", "s3", "server"]
