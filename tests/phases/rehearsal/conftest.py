from tests.servers.fixtures import aws_environment, s3, server
from tests.servers.rehearsed import bedrock, bedrock_with_key, chat, signing

__all__ = ["aws_environment", "bedrock", "bedrock_with_key", "chat", "s3", "server", "signing"]
