"""Could a network cheat on this data set: what a label is betrayed by, besides the lungs."""
