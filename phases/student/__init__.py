"""What a student is: model, tokenizer, adapter, memory, and how it answers; used by its training and by its distillation."""
