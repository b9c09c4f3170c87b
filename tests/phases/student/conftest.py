from tests.phases.qlora_training.conftest import micro

__all__ = ["micro"]
