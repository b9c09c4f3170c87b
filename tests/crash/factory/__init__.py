"""A pipeline that takes milliseconds and has one of everything: loops, a fork, nested composites, a counted inside, a
machine below, `once` steps with effects outside, and errors that are tried again, skipped, and stopped at."""
