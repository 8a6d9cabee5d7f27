"""The page and the API: a trained net served over HTTP, to people and to programs."""
