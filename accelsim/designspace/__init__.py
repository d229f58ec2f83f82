"""The design space: what a sweep file asks, the points it names, the store of what they gave, and what can be read from it."""
