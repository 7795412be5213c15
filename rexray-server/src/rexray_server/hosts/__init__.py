"""REX-Ray as a service of its host: units, scripts, and what writes and removes them."""
