"""Pictures from wherever they lie, answered many at a time and in order, in memory that does not grow with them."""
