"""The drawings as machines: one module for each diagram, of the same name."""
