from tests.servers.fixtures import aws_environment, proxied, s3, server

__all__ = ["aws_environment", "proxied", "s3", "server"]
