"""A durable finite-state-machine engine whose programs are Mermaid diagrams."""
