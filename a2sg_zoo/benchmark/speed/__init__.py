"""Time and memory of neurons, searches and networks, beside other libraries."""
