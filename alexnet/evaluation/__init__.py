"""How good a net is: exact counts over views of pictures."""
