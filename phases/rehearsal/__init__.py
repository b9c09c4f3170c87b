"""Services on the loopback that speak the wire protocol of the real ones: a run is rehearsed, tested and measured against them."""
