from tests.servers.rehearsed import bedrock, bedrock_with_key, chat, signing

__all__ = ["bedrock", "bedrock_with_key", "chat", "signing"]
