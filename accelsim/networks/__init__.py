"""Ways a network comes in, one module a way; what comes out is a `Network`."""
