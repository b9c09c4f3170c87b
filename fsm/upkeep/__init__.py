"""A run looked after from outside: answered, gone on with when it is due, cancelled, retired."""
