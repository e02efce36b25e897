"""What the stack costs a month: prices with their sources, three sizes, and the arithmetic between them."""
