"""Request and response models, by resource: handlers take and return them, and the API document is
generated from them."""
