"""The parts of benchmarks/qlora_8b.py: QLoRA on a model of Granite 8B's shape with random weights."""
