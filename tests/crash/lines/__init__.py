"""The works whose branches and items go at once, as a configuration plugs them in."""
