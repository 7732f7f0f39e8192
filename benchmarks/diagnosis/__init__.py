"""How right the diagnosis is: programs with a known fault, or none, and what dlcheck and others say of them."""
